"""Each accepted record is read once, whatever is killed when, and erased rows are gone from every file."""

import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from schemas.topics import EVENTS, FEEDBACK
from streams.errors import TopicRecreated
from streams.training_log.erasures import Erasures, Order
from streams.training_log.log_files import LogFile, Part, Range, day_of
from streams.training_log.partition_log import MERGED_FILES, PartitionLog, Rules
from streams.training_log.reading import LogReader
from streams.training_log.tables import rows_of
from streams.unreadable import Unreadable
from tests.streams.training_log.world import DAY_MS, NOW, Record, World, feedback_record, record

TODAY = day_of(NOW)
USERS = ("ann", "bob", "eve")


def read(world: World) -> list[int]:
    """The offsets that a reader gets."""
    return [row.offset for row in LogReader(str(world.root)).read(EVENTS.name, Event, repeats=True).rows()]


def files_of(world: World, topic: str = EVENTS.name) -> list[LogFile]:
    return [each.file for each in world.files.of_topic(topic)]


def on_disk(world: World, topic: str = EVENTS.name) -> Iterator[tuple[int, str]]:
    """Offset and user of every row in every file, overlapping ones included."""
    for file in files_of(world, topic):
        table = world.files.read(Part(file, file.first))
        yield from zip(table["offset"].to_pylist(), table["user"].to_pylist(), strict=True)


def numbered(first: int, behind: int, user: str = "ann") -> list[Record]:
    return [record(at, user) for at in range(first, behind)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_log_continues_behind_its_files(world: World) -> None:
    world.logged(numbered(0, 10))
    log = world.log()
    assert log.open(0, 15) == 10
    log.take(numbered(10, 15))
    assert log.flush() == 5
    assert read(world) == list(range(15))
    assert world.count("ouzel_log_rows_total", topic=EVENTS.name) == 15
    assert world.count("ouzel_log_files_total", topic=EVENTS.name) == 2


def test_rows_in_memory_are_lost_with_the_process_and_read_again(world: World) -> None:
    world.logged(numbered(0, 10))
    log = world.log()
    log.open(0, 20)
    log.take(numbered(10, 20))
    assert world.log().open(0, 20) == 10


def test_rows_go_to_a_file_by_age_number_and_day(world: World) -> None:
    world.rules = Rules(rows=3, seconds=5.0, days=30)
    log = world.log()
    log.open(0, 100)
    assert not log.due()
    log.take(numbered(0, 1))
    world.monotonic = 4.9
    assert not log.due()
    world.monotonic = 5.0
    assert log.due()
    log.take(numbered(1, 3))
    assert log.due()
    log.flush()
    assert not log.due()
    world.now += DAY_MS
    log.take([record(3), record(4, timestamp=NOW + DAY_MS)])
    assert log.due()
    log.flush()
    tomorrow = TODAY + timedelta(days=1)
    assert [(each.first, each.behind, each.day) for each in files_of(world)] == [
        (0, 3, TODAY), (3, 4, TODAY), (4, 5, tomorrow),
    ]  # fmt: skip


def test_file_has_at_most_the_rows_of_the_setting(world: World) -> None:
    world.rules = Rules(rows=4, seconds=60.0, days=30)
    log = world.logged(numbered(0, 10))
    assert [(each.first, each.behind) for each in files_of(world)] == [(0, 4), (4, 8), (8, 10)]
    assert log.written == 10


def test_days_of_a_partition_never_go_back_nor_beyond_today(world: World) -> None:
    world.logged([record(0, timestamp=NOW - DAY_MS), record(1), record(2, timestamp=NOW - 2 * DAY_MS)])
    log = world.log()
    log.open(0, 100)
    log.take([record(3, timestamp=NOW - DAY_MS), record(4, timestamp=NOW + 9 * DAY_MS)])
    log.flush()
    yesterday = TODAY - timedelta(days=1)
    assert {(each.first, each.day) for each in files_of(world)} == {(0, yesterday), (1, TODAY), (3, TODAY)}


def test_refused_records_are_covered_and_counted_once(world: World) -> None:
    bad = [record(1)._replace(value=b"x"), Unreadable(EVENTS.name, 0, 2, 5, "damaged")]
    order = record(6, kind=EventKind.ERASE, item=None)
    log = world.logged([record(0), *bad, order, record(7)])
    assert log.behind == 8
    assert read(world) == [0, 7]
    assert world.log().open(0, 8) == 8
    assert world.count("ouzel_log_rejected_records_total", topic=EVENTS.name, code="malformed") == 1
    assert world.count("ouzel_log_rejected_records_total", topic=EVENTS.name, code="unreadable") == 4
    assert world.count("ouzel_log_rejected_records_total", topic=EVENTS.name, code="order") == 0


def test_refused_records_alone_are_covered_by_an_empty_file(world: World) -> None:
    world.logged([record(0)._replace(value=b"x"), record(1)._replace(value=None)])
    assert files_of(world) == [LogFile(EVENTS.name, 0, 0, 2, TODAY)]
    assert world.log().open(0, 2) == 2
    assert read(world) == []


def test_idle_partition_writes_no_file(world: World) -> None:
    log = world.logged([])
    world.monotonic = 1e9
    assert not log.due()
    assert log.flush() == 0
    assert files_of(world) == []


def test_topic_that_ends_before_the_log_is_refused(world: World) -> None:
    world.logged(numbered(0, 10))
    with pytest.raises(TopicRecreated, match=r"offset 9.*up to offset 10.*moved or deleted"):
        world.log().open(0, 9)
    log = world.log()
    log.open(0, 10)
    with pytest.raises(TopicRecreated, match="recreated"):
        log.take(numbered(0, 1))
    assert read(world) == list(range(10))


def test_records_deleted_before_they_were_logged_are_counted(world: World) -> None:
    world.logged(numbered(0, 10))
    assert world.log().open(25, 40) == 25
    assert world.count("ouzel_log_lost_records_total", topic=EVENTS.name) == 15


def test_first_start_begins_at_the_first_record_and_loses_nothing(world: World) -> None:
    assert world.log().open(25, 40) == 25
    assert world.count("ouzel_log_lost_records_total", topic=EVENTS.name) == 0


def test_order_removes_rows_in_files_and_in_memory(world: World) -> None:
    world.logged([record(at, USERS[at % 3]) for at in range(12)])
    log = world.log()
    log.open(0, 30)
    log.take([record(at, USERS[at % 3]) for at in range(12, 24)])
    world.erasures.add(Order(frozenset({"ann"}), 0, 18, NOW))
    assert log.erase() == 4
    assert log.erase() == 0
    log.flush()
    assert {offset for offset, user in on_disk(world) if user == "ann"} == {21}
    assert read(world) == [at for at in range(24) if at % 3 or at > 18]
    assert world.log().open(0, 24) == 24
    assert world.count("ouzel_log_erased_rows_total", topic=EVENTS.name) == 7


def test_order_covers_rows_that_are_read_again_after_a_crash(world: World) -> None:
    world.erasures.add(Order(frozenset({"ann"}), 0, 5, NOW))
    world.logged(numbered(0, 10))
    assert [offset for offset, _ in on_disk(world)] == [6, 7, 8, 9]


def test_order_covers_feedback_by_time(world: World) -> None:
    given = [feedback_record(0, "ann", timestamp=NOW), feedback_record(1, "ann", ts=NOW + 9, timestamp=NOW + 9),
             feedback_record(2, "bob", timestamp=NOW)]  # fmt: skip
    log = world.logged(given, FEEDBACK.name)
    world.erasures.add(Order(frozenset({"ann"}), 0, 5, NOW + 1))
    assert log.erase() == 1
    assert list(on_disk(world, FEEDBACK.name)) == [(1, "ann"), (2, "bob")]


def test_file_of_a_process_thought_dead_is_checked_against_earlier_orders(world: World) -> None:
    zombie = world.log(erasures=Erasures())
    zombie.open(0, 20)
    zombie.take(numbered(0, 15))
    owner = world.log()
    owner.open(0, 20)
    owner.take(numbered(0, 10))
    owner.flush()
    world.erasures.add(Order(frozenset({"ann"}), 0, 12, NOW))
    owner.erase()
    zombie.flush()
    assert {offset for offset, _ in on_disk(world)} == set(range(15))
    assert owner.erase() == 13
    assert {offset for offset, _ in on_disk(world)} == {13, 14}
    assert read(world) == [13, 14]


def test_file_that_another_process_rewrites_is_checked_again(world: World) -> None:
    log = world.logged(numbered(0, 10))
    stale = world.files.read(Part(files_of(world)[0], 0))
    world.erasures.add(Order(frozenset({"ann"}), 0, 4, NOW))
    log.erase()
    world.files.write(files_of(world)[0], stale)
    assert log.erase() == 5
    assert read(world) == [5, 6, 7, 8, 9]


def test_rows_leave_with_their_day(world: World) -> None:
    world.rules = Rules(rows=1_000, seconds=60.0, days=2)
    for number in range(5):
        world.now = NOW + number * DAY_MS
        log = world.logged([record(number, timestamp=world.now)])
    log.tidy()
    assert [each.first for each in files_of(world)] == [2, 3, 4]
    assert world.count("ouzel_log_deleted_files_total", topic=EVENTS.name) == 2
    assert world.log().open(0, 5) == 5
    world.now += 9 * DAY_MS
    log.tidy()
    assert files_of(world) == []


def test_rows_do_not_come_back_after_their_retention(world: World) -> None:
    world.logged(numbered(0, 10))
    world.now += 31 * DAY_MS
    log = world.log()
    log.open(0, 10)
    log.tidy()
    again = world.log()
    assert again.open(0, 12) == 0
    again.take([*numbered(0, 10), record(10, timestamp=world.now), record(11, timestamp=NOW)])
    again.flush()
    assert read(world) == [10, 11]
    assert world.count("ouzel_log_expired_records_total", topic=EVENTS.name) == 10
    assert [each.first for each in files_of(world)] == [10]


def test_small_files_of_a_day_are_merged(world: World) -> None:
    log = world.log()
    log.open(0, 100)
    for at in range(MERGED_FILES):
        log.take([record(at)])
        log.flush()
        log.tidy()
    assert files_of(world) == [LogFile(EVENTS.name, 0, 0, MERGED_FILES, TODAY)]
    assert read(world) == list(range(MERGED_FILES))
    for at in range(MERGED_FILES, MERGED_FILES + 3):
        log.take([record(at)])
        log.flush()
    world.now += DAY_MS
    log.tidy()
    assert [(each.first, each.behind) for each in files_of(world)] == [(0, MERGED_FILES + 3)]
    assert read(world) == list(range(MERGED_FILES + 3))


ACTS = st.one_of(
    st.tuples(st.just("take"), st.integers(1, 7)),
    st.tuples(st.sampled_from(["flush", "crash", "hand over", "wake", "tidy", "erase", "tomorrow"]), st.just(0)),
    st.tuples(st.just("order"), st.integers(0, 2)),
)


@given(st.lists(ACTS, max_size=40), st.integers(0, 2**16))
@settings(max_examples=150)
def test_each_record_is_read_once_whatever_happens(acts: list[tuple[str, int]], seed: int) -> None:
    """Against a list of what was accepted: an owner that crashes or is thought dead, and comes back later."""
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        topic: list[Record] = []
        orders: list[Order] = []

        def opened(erasures: Erasures) -> PartitionLog:
            log = world.log(erasures=erasures)
            log.open(0, len(topic))
            return log

        owner, zombies = opened(Erasures(orders)), list[PartitionLog]()
        erasures = world.erasures = Erasures(orders)
        owner = opened(erasures)
        for act, number in acts:
            if act == "take":
                for _ in range(number):
                    made = record(len(topic), USERS[(seed + len(topic)) % 3], timestamp=world.now)
                    topic.append(made._replace(value=b"?") if (seed * len(topic)) % 5 == 1 else made)
                owner.take(topic[owner.behind :])
            elif act == "flush":
                owner.flush()
            elif act in ("crash", "hand over"):
                if act == "hand over":
                    zombies.append(owner)
                erasures = Erasures(orders)
                owner = opened(erasures)
                owner.take(topic[owner.behind :])
            elif act == "wake" and zombies:
                late = zombies.pop()
                late.flush()
                late.tidy()
                late.erase()
            elif act == "tidy":
                owner.tidy()
            elif act == "erase":
                owner.erase()
            elif act == "tomorrow":
                world.now += DAY_MS
            elif act == "order" and topic:
                orders.append(Order(frozenset({USERS[number]}), 0, len(topic) - 1, 0))
                erasures.add(orders[-1])
        for late in zombies:
            late.flush()
        owner.flush()
        owner.erase()
        owner.tidy()

        accepted = {each.offset: (each.key or b"").decode() for each in topic if each.value != b"?"}
        gone = {
            at for at, user in accepted.items() for each in orders if user in each.names and at <= (each.offset or 0)
        }
        assert read(world) == sorted(accepted.keys() - gone)
        assert not {offset for offset, _ in on_disk(world)} & gone
        reading = LogReader(folder).read(EVENTS.name, Event)
        list(reading)
        assert reading.ranges == ((Range(EVENTS.name, 0, 0, len(topic)),) if topic else ())


def test_rows_of_merged_files_keep_their_messages(world: World) -> None:
    log = world.log()
    log.open(0, 100)
    for at in range(MERGED_FILES):
        log.take([record(at, USERS[at % 3], scene=f"scene-{at}")])
        log.flush()
    before = [row for file in files_of(world) for row in rows_of(Event, world.files.read(Part(file, file.first)))]
    log.tidy()
    (file,) = files_of(world)
    assert list(rows_of(Event, world.files.read(Part(file, 0)))) == before
    assert file.day == TODAY != date.min
