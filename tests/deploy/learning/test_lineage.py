"""What `ouzel lineage` says from the store and the training log alone, in a folder or an object store."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from deploy.cli import cli
from deploy.commands.privacy import _learned
from deploy.errors import DeployError
from deploy.learning.lineage import of_order, of_user, retraining
from deploy.learning.ports import Makers, Parts
from deploy.learning.running import once
from inference.versions.store import Learned, Version, VersionStore
from schemas.codec import encode
from schemas.events import EventKind
from schemas.feedback import Feedback, Outcome, Shown
from schemas.topics import EVENTS, FEEDBACK
from streams.privacy.pseudonyms import alias_with
from streams.training_log.erased import mark_of
from streams.training_log.erasures import Order
from streams.training_log.searching import LogSearch
from tests.streams.training_log.world import NOW, Record, World, record
from tests.support.learning_parts import FastClock, MemoryLog, MemoryServer, QualityGates, StoreTrainer
from tests.support.object_store import object_store

KEY = "a key of enough letters"
ALIAS = alias_with(KEY)
HOUR = 3_600_000


def saved(store: VersionStore, number: int, parent: int, behind: int, *, feedback: int = 0, cut: int = NOW) -> None:
    """A version that read partition 0 of the events and of the feedback up to these offsets."""
    read = ((EVENTS.name, behind), (FEEDBACK.name, feedback))
    record = Version(
        number=number, name=f"v{number}", parent=parent, kind="full", made_ms=NOW + number, since_ms=NOW - HOUR,
        cut_ms=cut, events=9, likes=9, tests=3,
        learned=tuple(Learned(topic=topic, partition=0, first=0, behind=end) for topic, end in read if end),
    )  # fmt: skip
    with store.written(number) as folder:
        (folder / "version.json").write_bytes(msgspec.json.encode(record))


def reaction(offset: int, event: str, user: str, version: str, name: str = "") -> Record:
    made = Feedback(
        id=f"f-{offset}", list=name or f"list-{offset}", user=user, scene="home", ts=NOW + offset,
        outcome=Outcome.TAKEN, reward=1.0, item="alien", event=event, model_version=version,
        shown=(Shown(item="alien", propensity=1.0), Shown(item="brazil", propensity=0.5)),
    )  # fmt: skip
    return Record(offset, user.encode(), encode(made))


@pytest.fixture(params=["folder", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Events 0 to 9 of ann and bob by turns. Version 2 read the first five, 3 and its child 5 all, 4 none."""
    monkeypatch.chdir(tmp_path)
    with object_store("bucket") as objects:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "of-the-test")
        made = World(tmp_path / "log" if request.param == "folder" else objects.uri("bucket/log"))
        made.logged([record(at, ("ann", "bob")[at % 2]) for at in range(10)])
        made.logged(
            [reaction(0, "e-2", "ann", "v3"), reaction(1, "e-4", "ann", "v4"), reaction(2, "e-3", "bob", "v3"),
             reaction(3, "e-6", "ann", "v5"), reaction(4, "e-77", "ann", "v1")], FEEDBACK.name,
        )  # fmt: skip
        store = VersionStore(tmp_path / "versions")
        saved(store, 2, 1, 5)
        saved(store, 3, 2, 10, feedback=5)
        saved(store, 4, 1, 0)
        saved(store, 5, 3, 0)
        yield made


def lineage(world: World, *given: str, **more: str) -> Result:
    given = (*given, "--log", str(world.root), "--versions", "versions")
    return CliRunner().invoke(cli, ["lineage", *given], env={"COLUMNS": "160", **more})


def test_versions_that_learned_an_event_and_their_lists_for_the_user(world: World) -> None:
    found = lineage(world, "ann", "e-2")
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert lines[0].startswith("Event e-2: like of alien, 2024-10-04")
    assert lines[1:3] == ["  record 2 of partition 0 of ouzel.events", "  record 0 of partition 0 of ouzel.feedback"]
    table = {line.split()[0]: line for line in lines if line[:1].isdigit()}
    assert "trained on it: it was new then" in table["2"]
    assert "trained on it" in table["3"]
    assert "inherited from version 3" in table["5"]
    assert "Not learned by 4." in lines
    assert "Lists that these versions made for the user: 2 in the training log" in lines
    listed = [line.split()[2:5] for line in lines if "list-" in line]
    assert listed == [["list-3", "5", "taken"], ["list-0", "3", "taken"]]
    assert "list-1" not in found.output  # of version 4
    assert "list-2" not in found.output  # of bob
    assert lines[-1].endswith("ouzel learn --once --from 4")


def test_event_that_only_feedback_has_is_found(world: World) -> None:
    found = lineage(world, "ann", "e-77")
    assert found.exit_code == 0, found.output
    assert "record 4 of partition 0 of ouzel.feedback" in found.output
    assert "Not learned by 2, 4." in found.output


def test_event_that_no_version_read_and_event_without_an_item(world: World) -> None:
    steer = record(11, "ann", kind=EventKind.STEER, item=None, text="more like this")
    world.logged([record(10, "ann"), steer])
    assert "Not learned by 2, 3, 4, 5." in lineage(world, "ann", "e-10").output
    assert "No version learned from it: it has no item" in lineage(world, "ann", "e-11").output


def test_pseudonyms_are_found_by_the_id_with_the_key_and_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world = World(tmp_path / "log", alias=ALIAS)
    world.logged([record(0, "ann")])
    saved(VersionStore(tmp_path / "versions"), 2, 1, 5)
    for user, env in (("ann", {"OUZEL_PSEUDONYM_KEY": KEY}), (ALIAS("ann"), {})):
        found = lineage(world, user, "e-0", **env)
        assert found.exit_code == 0, found.output
        assert "trained on it" in found.output
    with pytest.raises(DeployError, match="set OUZEL_PSEUDONYM_KEY"):
        CliRunner().invoke(cli, ["lineage", "ann", "e-0", "--log", str(world.root)], catch_exceptions=False)


def test_unknown_events_users_and_orders_are_said(world: World) -> None:
    for given, said in (
        (("ann", "e-3"), "has 9 records of this user, and none of this event"),
        (("eve", "e-3"), "has no record of this user"),
        (("--order", "order-9"), "nothing was removed from the training log for this order"),
    ):
        error = lineage(world, *given).exception
        assert isinstance(error, DeployError)
        assert said in str(error)


def test_erased_user_is_traced_by_the_order(world: World) -> None:
    before = of_user(VersionStore(Path("versions")), LogSearch(str(world.root)), ["ann"])
    log = world.log()
    world.erasures.add(Order(frozenset({"ann"}), 0, 9, NOW + 99, mark_of("order-1")))
    log.erase()
    world.log(FEEDBACK.name).erase()
    found = of_order(VersionStore(Path("versions")), LogSearch(str(world.root)), "order-1")
    assert {each.place for each in found.records} == {each.place for each in before.records}
    assert [each.number for each in found.learned] == [each.number for each in before.learned] == [2, 3, 5]
    assert retraining(found) == retraining(before) == "ouzel learn --once --from 4"
    output = lineage(world, "--order", "order-1").output
    assert "9 records" in output
    assert "inherited from version 3" in output
    assert "ann" not in output
    assert "has no record of this user" in str(lineage(world, "ann", "e-2").exception)


def test_receipt_says_which_versions_learned_and_how_to_train_without_the_user(world: World) -> None:
    said, why_not = _learned("ann", str(world.root), Path("versions"))
    assert said == {"learned_by": [2, 3, 5], "retrain": "ouzel learn --once --from 4"}
    assert not why_not
    assert _learned("eve", str(world.root), Path("versions")) == ({"learned_by": []}, "")


def test_receipt_without_a_log_or_with_a_damaged_version_says_why(world: World, tmp_path: Path) -> None:
    said, why_not = _learned("ann", str(tmp_path / "nowhere"), Path("versions"))
    assert said == {}
    assert "there is no training log" in why_not
    (tmp_path / "versions" / "3" / "version.json").write_text("{")
    said, why_not = _learned("ann", str(world.root), Path("versions"))
    assert said == {}
    assert "does not say which versions learned from the user: versions/3" in why_not


@pytest.mark.parametrize("given", [[], ["ann"], ["ann", "e-1", "--order", "o"], ["ann", "--order", "o"]])
def test_wrong_arguments_are_refused(given: list[str]) -> None:
    result = CliRunner().invoke(cli, ["lineage", *given])
    assert result.exit_code == 2
    assert "give USER and EVENT, or --order" in result.output


def test_no_log_is_said(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["lineage", "ann", "e-1", "--log", str(tmp_path)])
    assert result.exit_code == 1
    assert "there is no training log in" in result.output


async def test_learning_once_starts_from_the_version_that_is_named(tmp_path: Path) -> None:
    store, clock = VersionStore(tmp_path / "versions"), FastClock().clock
    saved(store, 2, 1, 5)
    trainer = StoreTrainer(store, MemoryLog(100), clock)
    parts = Parts(MemoryLog(), Makers(trainer, QualityGates({})), MemoryServer({}))
    passed = await once(store, nullcontext(parts), champion=2, parent=1, clock=clock, tell=lambda _: None)
    assert passed
    assert store.record(3).parent == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--from", "2"], "--from needs --once"), (["--once", "--from", "9"], "there is no version 9 in")],
)
def test_learning_from_a_version_needs_once_and_that_version(tmp_path: Path, given: list[str], said: str) -> None:
    result = CliRunner().invoke(cli, ["learn", *given, "--versions", str(tmp_path)])
    assert said in result.output + str(result.exception)
