"""The rows of one user, the lists of one version, and what an order erased, in a log that others rewrite meanwhile."""

from pathlib import Path

import pytest

from schemas.codec import encode
from schemas.events import Event
from schemas.feedback import Feedback, Outcome, Shown
from schemas.topics import EVENTS, FEEDBACK
from streams.errors import LogFailed
from streams.training_log.erased import mark_of, note_of, noted
from streams.training_log.erasures import Order
from streams.training_log.log_files import LogFile
from streams.training_log.searching import LogSearch
from streams.training_log.tables import schema_of
from tests.streams.training_log.world import DAY_MS, NOW, Record, World, record

USERS = ("ann", "bob", "cid")
ORDER = Order(frozenset({"ann"}), 0, 18, NOW, mark_of("order-1"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "log")


def numbered(first: int, behind: int) -> list[Record]:
    return [record(at, USERS[at % 3]) for at in range(first, behind)]


def told(offset: int, version: str | None, *, shown: bool = True) -> Record:
    made = Feedback(
        id=f"f-{offset}", list=f"l-{offset}", user="ann", scene="home", ts=NOW, outcome=Outcome.NOT_TAKEN, reward=0.0,
        model_version=version, shown=(Shown(item="alien", propensity=1.0),) if shown else (),
    )  # fmt: skip
    return Record(offset, b"ann", encode(made))


def offsets(search: LogSearch, *names: str) -> list[int]:
    return [row.offset for row in search.of_user(EVENTS.name, Event, names)]


def test_rows_of_a_user_are_found_under_every_name_in_every_file(world: World) -> None:
    search = LogSearch(str(world.root))
    assert search.empty()
    assert offsets(search, "ann") == []
    world.logged(numbered(0, 10))
    world.logged(numbered(0, 20))
    assert offsets(search, "ann") == [0, 3, 6, 9, 12, 15, 18]
    assert offsets(search, "ann", "bob") == [at for at in range(20) if at % 3 < 2]
    assert offsets(search, "eve") == []
    assert search.of_user(EVENTS.name, Event, ["bob"])[0].message.user == "bob"
    assert not search.empty()


def test_lists_of_a_version_count_once_each(world: World) -> None:
    given = [told(0, "v2"), told(1, "v2", shown=False), told(2, "v3"), told(3, None), told(4, "v2")]
    world.logged(given[:3], FEEDBACK.name)
    world.logged(given, FEEDBACK.name)
    search = LogSearch(str(world.root))
    assert [search.lists_of(FEEDBACK.name, name) for name in ("v2", "v3", "v4")] == [2, 1, 0]


def test_rows_that_an_order_erased_are_noted_in_files_and_in_memory_and_survive_merging(world: World) -> None:
    search = LogSearch(str(world.root))
    world.logged(numbered(0, 12))
    log = world.log()
    log.open(0, 30)
    log.take(numbered(12, 24))
    world.erasures.add(ORDER)
    log.erase()
    log.flush()
    gone = [(0, at) for at in range(0, 19, 3)]
    assert search.erased_by(EVENTS.name, "order-1") == gone
    assert search.erased_by(EVENTS.name, "order-2") == search.erased_by(FEEDBACK.name, "order-1") == []
    world.erasures.add(Order(frozenset({"bob"}), 0, 1, NOW, mark_of("order-2")))
    log.erase()
    world.now += DAY_MS
    log.tidy()  # the day is over: both files become one
    assert len(list(Path(world.root).rglob("*.parquet"))) == 1
    assert search.erased_by(EVENTS.name, "order-1") == gone
    assert search.erased_by(EVENTS.name, "order-2") == [(0, 1)]
    assert offsets(search, "ann") == [21]


def test_no_file_names_the_erased_user_or_the_order(world: World) -> None:
    log = world.logged(numbered(0, 12))
    world.erasures.add(ORDER)
    log.erase()
    (path,) = Path(world.root).rglob("*.parquet")
    assert b"ann" not in path.read_bytes()
    assert b"order-1" not in path.read_bytes()


def test_damaged_note_says_nothing(world: World) -> None:
    assert note_of({b"ouzel.erased": b"\xff"}) == note_of({b"ouzel.erased": b'{"a": "b"}'}) == note_of(None) == {}
    table = schema_of(Event).empty_table()
    assert noted(table, {}) is table


def test_files_that_disappear_are_looked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.logged(numbered(0, 10))
    search, listed = LogSearch(str(world.root)), world.files.of_topic(EVENTS.name)
    gone = LogFile(EVENTS.name, 0, 0, 20, listed[0].file.day)
    answers = [[type(listed[0])(gone, 1, 1)], listed]
    monkeypatch.setattr(search._files, "of_topic", lambda topic: answers.pop(0))
    assert offsets(search, "ann") == [0, 3, 6, 9]
    monkeypatch.setattr(search._files, "of_topic", lambda topic: [type(listed[0])(gone, 1, 1)])
    with pytest.raises(LogFailed, match="disappeared 20 times"):
        offsets(search, "ann")


def test_damaged_file_is_said(world: World) -> None:
    world.logged(numbered(0, 10))
    (path,) = Path(world.root).rglob("*.parquet")
    path.write_bytes(b"no parquet")
    with pytest.raises(LogFailed, match="cannot be read"):
        offsets(LogSearch(str(world.root)), "ann")
