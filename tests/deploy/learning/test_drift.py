"""The champion's drift, read from a real training log: each list once, and the same after a restart."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from deploy.errors import DeployError
from deploy.learning.drift import LogDrift, observed
from inference.versions.drift import UNKNOWN, Observed
from inference.versions.rules import Rules
from schemas.codec import encode
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.items import Item
from schemas.models import ModelStatus, Role
from schemas.topics import FEEDBACK
from streams.errors import LogFailed
from tests.streams.training_log.world import NOW, Record, World

RULES = Rules(drift_lists=100)
CHAMPION = ModelStatus(model="scorer", version="v2", role=Role.CHAMPION, ts=NOW, number=2)
ITEMS = (Item(id="alien", title="Alien", attributes=("horror", "space")), Item(id="brazil", title="Brazil"))


def feedback(number: int, *, taken: bool = False, version: str | None = "v2", shown: bool = True) -> Feedback:
    return Feedback(
        id=f"f-{number}", list=f"l-{number}", user="ann", scene="home", ts=NOW + 60_000 * number,
        outcome=Outcome.TAKEN if taken else Outcome.NOT_TAKEN, reward=1.0 if taken else 0.0,
        item="alien" if taken else None, closed=None if taken else Closed.WINDOW, delay_ms=1_000.0,
        model_version=version, shown=(Shown(item="alien", propensity=1.0),) if shown else (),
        chance=0.25 if shown else None, history=7 if shown else None,
    )  # fmt: skip


def records(*given: Feedback, logged: int = NOW) -> list[Record]:
    return [Record(number, b"ann", encode(each), logged) for number, each in enumerate(given)]


async def catalogue() -> Iterable[Item]:
    return ITEMS


def watch(world: World, told: list[str] | None = None) -> LogDrift:
    return LogDrift(str(world.root), catalogue, (told if told is not None else []).append)


def files_of(world: World) -> list[Path]:
    return sorted(Path(world.root).rglob("*.parquet"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "log")


async def test_lists_of_the_champion_are_read_once_and_again_after_a_restart(world: World) -> None:
    given = [feedback(number, taken=number % 4 == 0) for number in range(300)]
    world.logged(records(*given[:150]), FEEDBACK.name)
    watching = watch(world)
    assert (await watching.drift(CHAMPION, RULES)).lists == 150
    world.logged(records(*given), FEEDBACK.name)
    found = await watching.drift(CHAMPION, RULES)
    assert found.lists == 300
    assert found.hits.reference.mean == 0.25
    assert await watching.drift(CHAMPION, RULES) == found
    assert await watch(world).drift(CHAMPION, RULES) == found


async def test_other_versions_second_reactions_and_earlier_records_do_not_count(world: World) -> None:
    given = [feedback(0), feedback(1, version="v1"), feedback(2, version=None), feedback(3, shown=False), feedback(4)]
    world.logged(records(*given), FEEDBACK.name)
    assert (await watch(world).drift(CHAMPION, RULES)).lists == 2
    later = ModelStatus(model="scorer", version="v2", role=Role.CHAMPION, ts=NOW + 1, number=2)
    assert (await watch(world).drift(later, RULES)).lists == 0


async def test_new_champion_and_one_that_returns_have_a_new_reference(world: World) -> None:
    world.logged(records(*(feedback(number) for number in range(10))), FEEDBACK.name)
    watching = watch(world)
    assert (await watching.drift(CHAMPION, RULES)).lists == 10
    other = ModelStatus(model="scorer", version="v3", role=Role.CHAMPION, ts=NOW, number=3)
    found = await watching.drift(other, RULES)
    assert (found.champion, found.lists) == ("v3", 0)
    assert (await watching.drift(CHAMPION, RULES)).lists == 10


async def test_catalogue_that_cannot_be_read_leaves_attributes_out_and_says_so(world: World) -> None:
    async def away() -> Iterable[Item]:
        raise DeployError("no broker answers.")

    told: list[str] = []
    world.logged(records(*(feedback(number, taken=True) for number in range(10))), FEEDBACK.name)
    found = await LogDrift(str(world.root), away, told.append).drift(CHAMPION, RULES)
    assert told == ["the drift of item attributes is not measured: no broker answers."]
    assert (found.lists, found.attributes.count) == (10, 0)


async def test_log_that_cannot_be_read_is_continued_where_it_failed(world: World) -> None:
    world.logged(records(*(feedback(number) for number in range(10))), FEEDBACK.name)
    watching = watch(world)
    await watching.drift(CHAMPION, RULES)
    world.logged(records(*(feedback(number) for number in range(20))), FEEDBACK.name)
    newest = files_of(world)[-1]
    whole = newest.read_bytes()
    newest.write_bytes(b"damaged")
    with pytest.raises(LogFailed):
        await watching.drift(CHAMPION, RULES)
    newest.write_bytes(whole)
    assert (await watching.drift(CHAMPION, RULES)).lists == 20


def test_list_is_observed_when_it_was_made() -> None:
    attributes = {item.id: item.attributes for item in ITEMS}
    made = NOW - 1_000
    assert observed(feedback(0, taken=True), attributes) == Observed(True, made, 0.25, 7, ("horror", "space"))
    assert observed(feedback(0), attributes) == Observed(False, made, 0.25, 7)
    assert observed(feedback(0, taken=True), {}).attributes == (UNKNOWN,)
    assert observed(feedback(0, taken=True), None).attributes is None


def test_dislike_of_an_entry_is_no_hit() -> None:
    given = Feedback(**{**{name: getattr(feedback(0, taken=True), name) for name in Feedback.__struct_fields__},
                        "outcome": Outcome.REJECTED, "reward": -1.0})  # fmt: skip
    assert not observed(given, {}).taken
