"""Versions made from one another on a tiny model: what they learn, what stays, and what is in the store."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from deploy.datasets.dataset import Dataset
from deploy.learning.evidence import Evidence, evidence_of
from deploy.learning.versions import FULL, Made, Meters, Options, Parent, make_version
from inference.errors import NothingToLearn
from inference.item_tokens.adapter import Adapter, Cut, load, save
from inference.training.trainer import Recipe
from inference.training.update import Effort
from inference.versions.gates import held_out as tested
from inference.versions.gates.measuring import Asked, agreement
from inference.versions.gates.trained_order import TrainedOrder
from inference.versions.store import Learned, VersionStore
from schemas.events import Event
from schemas.feedback import Feedback, Outcome, Shown
from schemas.items import Item
from schemas.privacy import ErasureReceipt
from schemas.scoring import Past
from tests.support import tiny_model as tiny
from tests.support import training_world as world

ITEMS_OF_WORLD = tuple(
    Item(id=one.item, title=one.text, attributes=tuple(one.about.split(", "))) for one in world.CANDIDATES
)
FAST = Recipe(head_rate=1e-2, lora_rate=1e-3, batch=8)
QUICK = msgspec.structs.replace(
    FULL,
    effort=Effort(rounds=3, tower_passes=2, first_tower=10, replay=0.5),
    text=FAST, towers=FAST, tower=8, held_out=0.25, least_likes=20, least_tests=5, niceness=0,
)  # fmt: skip
CHEAP = msgspec.structs.replace(QUICK, effort=Effort(rounds=1, tower_passes=1, first_tower=1))
QUICK_ITEMS = msgspec.structs.replace(QUICK, kind="items")


def named(adapter: Path, items: Sequence[Any]) -> str:
    """Stands for what writes the vectors."""
    (adapter / "vectors.safetensors").write_bytes(b"vectors")
    return f"tiny-{load(adapter).version}"


def evidence(events: Iterable[Event], items: Sequence[Item] = ITEMS_OF_WORLD) -> Evidence:
    return Evidence(Dataset(tuple(items), tuple(events), "shelves"), {}, ())


def made(store: VersionStore, parent: Parent, told: Evidence, options: Options = QUICK, seed: int = 0) -> Made:
    return make_version(store, parent, told, base=world.Base(), complete=named, options=options, seed=seed)


def first(root: Path, adapter: Adapter | None = None, until: int = 0) -> Parent:
    """A text-only parent, version 1, that learned the first `until` events of the world."""
    cut = Cut(ts=world.BEGIN + world.MINUTE * until, share=0.5)
    return Parent(1, save(root / "first", replace(adapter or tiny.adapter(), cut=cut), ""))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> tuple[VersionStore, Made]:
    """A full version, made from a text-only parent on 60 people."""
    root = tmp_path_factory.mktemp("versions")
    store = VersionStore(root / "store")
    return store, made(store, first(root), evidence(world.events(60)))


def flipped(events: list[Event]) -> list[Event]:
    """The same events, in which likes and dislikes of the shelves have changed places."""
    other = dict(zip(world.SHELVES, (*world.SHELVES[1:], world.SHELVES[0]), strict=True))

    def moved(event: Event) -> Event:
        shelf, number = (event.item or "").split("-")
        return msgspec.structs.replace(event, item=f"{other[shelf] if int(number) % 2 else shelf}-{number}")

    return [moved(event) for event in events]


def test_full_version_adds_a_tower_and_rows_to_a_text_only_parent(second: tuple[VersionStore, Made]) -> None:
    store, found = second
    adapter = load(store.folder(2) / "adapter")
    assert adapter.shape.tower == 8
    assert set(adapter.items) == set(world.ITEMS)
    assert found.version.name == f"tiny-{adapter.version}"
    assert len(tiny.item_token_engine(adapter).score([tiny.request(["1 war"], ["2 war", "3 love"])])) == 1


def test_record_has_the_lineage_and_the_cost(second: tuple[VersionStore, Made]) -> None:
    store, found = second
    version = store.record(2)
    assert version == found.version
    events = world.events(60)
    assert (version.number, version.parent, version.kind) == (2, 1, "full")
    learned = events[: int(0.75 * len(events))]
    assert version.events == len(learned)
    assert version.likes == sum(world.feeling(event) > 0 for event in learned)
    assert version.cut_ms == learned[-1].ts
    assert (found.held_out.histories.ts[found.held_out.tests] > version.cut_ms).all()
    assert version.tests == len(found.held_out.tests) > 5
    assert version.seconds > 0
    assert version.cpu_seconds > 0
    assert version.peak_mib > 10
    assert {path.name for path in (store.folder(2) / "adapter").iterdir()} >= {"vectors.safetensors", "card.md"}


def test_version_learns_a_taste_that_its_parent_does_not_know(second: tuple[VersionStore, Made]) -> None:
    _, found = second
    champion, challenger = found.held_out.champion.figures, found.held_out.challenger.figures
    assert challenger.ndcg > champion.ndcg + 0.1
    assert found.losses[found.losses.index(min(found.losses))] < np.log(len(world.ITEMS))


def test_served_version_orders_items_like_the_trained_network(second: tuple[VersionStore, Made]) -> None:
    store, found = second
    held, engine = found.held_out, tiny.item_token_engine(load(store.folder(2) / "adapter"))
    order = TrainedOrder.read(store.folder(2))
    assert order is not None
    likes, logits = order.found(held.histories, held.tests)
    assert len(likes) == len(held.tests)
    served = Asked(engine, tested.HeldOut(held.histories, world.CANDIDATES, held.tests, int(held.tests[0]))).before(
        likes
    )
    assert agreement(logits, served).mean() > 0.99


def test_taste_that_flips_changes_the_ranks(second: tuple[VersionStore, Made], tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    events = world.events(60)
    later = [msgspec.structs.replace(e, id=f"n{e.id}", user=f"n{e.user}", ts=e.ts + world.MINUTE * 400) for e in events]
    turned = made(store, Parent.of(second[0], 2), evidence([*events, *flipped(later)]))
    assert turned.version.parent == 2
    assert turned.version.events == len(later) + 90 - 112  # 90 were held out before, a quarter is now
    held = turned.held_out
    assert held.challenger.figures.ndcg > held.champion.figures.ndcg
    assert (held.challenger.ranks != held.champion.ranks).mean() > 0.3


def test_champion_is_ranked_as_it_is_live(second: tuple[VersionStore, Made], tmp_path: Path) -> None:
    """The held-out likes' scores by the parent equal those of the engine that serves it."""
    events = world.events(60)
    later = [msgspec.structs.replace(e, id=f"n{e.id}", user=f"n{e.user}", ts=e.ts + world.MINUTE * 400) for e in events]
    held = made(VersionStore(tmp_path), Parent.of(second[0], 2), evidence([*events, *later])).held_out
    adapter = load(second[0].folder(2) / "adapter")
    engine = tiny.item_token_engine(adapter)
    at = int(np.flatnonzero(held.histories.history[held.tests] % 2 == 0)[0])
    place = int(held.tests[at])
    mine = np.flatnonzero(held.histories.history[:place] == held.histories.history[place])
    past = []
    for one in mine.tolist():
        item = world.CANDIDATES[int(held.histories.item[one])]
        feeling, ts = int(held.histories.feeling[one]), int(held.histories.ts[one])
        past.append(Past(item.text, "rate", item=item.item, about=item.about, feeling=feeling, ts=ts))
    request = msgspec.structs.replace(tiny.request([], []), history=tuple(past), candidates=world.CANDIDATES)
    (answer,) = engine.score([request])
    vectors = np.frombuffer(engine.describe(world.CANDIDATES).values, "<f4").reshape(len(world.CANDIDATES), -1)
    scores = vectors @ np.array(answer.vector, np.float32)  # type: ignore[union-attr]
    ours = held.champion.scores(at)
    assert np.corrcoef(scores, ours)[0, 1] > 0.999


def rows(adapter: Adapter) -> dict[str, dict[str, torch.Tensor]]:
    """By tensor with rows of items: the row of each item, and row 0 as ""."""
    state = adapter.residuals.state_dict()
    names = ("", *adapter.items)
    return {name: dict(zip(names, state[name], strict=True)) for name in adapter.residuals.by_item()}


def test_items_version_changes_the_rows_of_those_items_alone(second: tuple[VersionStore, Made], tmp_path: Path) -> None:
    """And grows rows for new items, which begin as they were scored before."""
    store = VersionStore(tmp_path)
    new = Item(id="sea-0", title="0 sea", attributes=("sea", "seas"))
    told = [event for event in world.events(60) if not (event.item or "").startswith("ghosts")]
    later = [
        msgspec.structs.replace(
            event, id=f"n{event.id}", user=f"n{event.user}", ts=event.ts + world.MINUTE * 400,
            item="sea-0" if event.item == "war-1" else event.item,
        )
        for event in told
    ]  # fmt: skip
    parent = Parent.of(second[0], 2)
    found = made(store, parent, evidence([*told, *later], (*ITEMS_OF_WORLD, new)), QUICK_ITEMS)
    assert found.version.kind == "items"
    before, after = load(parent.adapter), load(store.folder(2) / "adapter")
    assert "sea-0" not in before.items
    assert set(after.items) == {*before.items, "sea-0"}
    begun, ended = second[1].version.cut_ms, found.version.cut_ms
    touched = {event.item for event in (*told, *later) if begun < event.ts <= ended}
    changed = set()
    for name, by_item in rows(after).items():
        for item, row in by_item.items():
            if item in touched:
                changed |= {item} if item == "sea-0" or not torch.equal(row, rows(before)[name][item]) else set()
            else:
                assert torch.equal(row, rows(before)[name][item]), (name, item)
    assert changed == touched
    assert not any(item.startswith("ghosts") for item in changed)
    assert all(torch.equal(value, after.lora[name]) for name, value in before.lora.items())
    assert all(torch.equal(value, after.heads.state_dict()[name]) for name, value in before.heads.state_dict().items())
    left, right = before.residuals.state_dict(), after.residuals.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left.keys() - set(before.residuals.by_item()))


def test_items_version_of_a_parent_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn, match="make a full version first"):
        made(VersionStore(tmp_path / "store"), first(tmp_path), evidence(world.events(60)), QUICK_ITEMS)


def test_versions_are_the_same_for_a_seed(tmp_path: Path) -> None:
    told, parent = evidence(world.events(30)), first(tmp_path)
    names = [made(VersionStore(tmp_path / name), parent, told, CHEAP, seed).version.name
             for name, seed in (("one", 0), ("again", 0), ("other", 1))]  # fmt: skip
    assert names[0] == names[1] != names[2]


def test_events_that_the_parent_learned_are_not_new(tmp_path: Path) -> None:
    events = world.events(60)
    found = made(VersionStore(tmp_path / "store"), first(tmp_path, until=120), evidence(events), CHEAP)
    assert found.version.events == 0.75 * (len(events) - 120)


def test_too_little_is_refused_and_leaves_nothing(second: tuple[VersionStore, Made], tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    with pytest.raises(NothingToLearn, match=r"90 events are newer than the active version.* 40 are needed"):
        made(store, Parent.of(second[0], 2), evidence(world.events(60)), msgspec.structs.replace(QUICK, least_tests=40))
    assert store.numbers() == []
    assert list(tmp_path.iterdir()) == []


def test_time_limit_ends_after_the_first_round(tmp_path: Path) -> None:
    effort = Effort(rounds=5, tower_passes=1, seconds=1e-6)
    options = msgspec.structs.replace(QUICK, effort=effort)
    found = made(VersionStore(tmp_path / "store"), first(tmp_path), evidence(world.events(60)), options)
    assert len(found.losses) == 1


def test_tower_that_would_be_trained_too_little_is_left_out(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    short = msgspec.structs.replace(QUICK, effort=Effort(rounds=2, tower_passes=1, first_tower=500, seconds=1e-3))
    found = made(store, first(tmp_path), evidence(world.events(60)), short)
    adapter = load(store.folder(2) / "adapter")
    assert adapter.shape.tower == 0
    assert set(adapter.items) == set(world.ITEMS)
    card = (store.folder(2) / "adapter" / "card.md").read_text()
    assert "Without a tower: a tower over item ids would take" in card
    assert found.held_out.challenger.figures.ndcg > found.held_out.champion.figures.ndcg
    engine = tiny.item_token_engine(adapter)
    assert len(engine.score([tiny.request(["1 war"], ["2 war", "3 love"])])) == 1
    # The rows that there are can be trained alone, and a later version with more time gets its tower.
    more = evidence(world.events(120))
    rows = made(store, Parent.of(store, 2), more, QUICK_ITEMS)
    assert load(store.folder(rows.version.number) / "adapter").shape.tower == 0
    full = made(store, Parent.of(store, 2), more)
    assert load(store.folder(full.version.number) / "adapter").shape.tower == 8


def test_schedule_of_a_first_tower_is_shortened_to_half_of_the_time(tmp_path: Path) -> None:
    seconds = [0.0]
    steps: list[tuple[str, int, int]] = []

    def told(label: str, done: int, total: int) -> None:
        steps.append((label.partition(",")[0], done, total))
        seconds[0] += label.startswith(("timing the tower", "training the tower"))  # a second for each batch

    options = msgspec.structs.replace(QUICK, effort=Effort(rounds=1, tower_passes=2, first_tower=500, seconds=400))
    make_version(
        VersionStore(tmp_path / "store"), first(tmp_path), evidence(world.events(60)), base=world.Base(),
        complete=named, options=options, meters=Meters(seconds=lambda: seconds[0]), progress=told,
    )  # fmt: skip
    towers = [(done, total) for label, done, total in steps if label == "training the tower"]
    done, total = towers[-1]
    assert done == total, "the rates have fallen as far as they fall"
    assert 90 < total <= 200
    assert "round 1" in {label for label, _, _ in steps}
    assert not any("tower" in label for label, _, _ in steps[steps.index(("training the tower", done, total)) + 1 :])


def test_held_out_events_are_learned_by_the_next_version_or_at_the_end(tmp_path: Path) -> None:
    store, told = VersionStore(tmp_path / "store"), evidence(world.events(80))
    total = len(told.dataset.events)
    assert made(store, first(tmp_path), told, CHEAP).version.events == 0.75 * total
    ending = msgspec.structs.replace(CHEAP, effort=msgspec.structs.replace(CHEAP.effort, finish=True))
    found = made(store, Parent.of(store, 2), told, ending)
    assert found.version.events == 0.25 * total
    assert found.version.cut_ms == told.dataset.events[-1].ts


def test_lists_shown_in_vain_can_be_learned(tmp_path: Path) -> None:
    events = world.events(60)
    shown = [
        Feedback(
            id=f"f{event.id}", list=f"l{event.id}", user=event.user, scene=event.scene, ts=event.ts, delay_ms=1.0,
            outcome=Outcome.NOT_TAKEN, reward=0.0, shown=(Shown(item="trains-3", propensity=0.5),),
        )
        for event in events
    ]  # fmt: skip
    told = evidence_of(events, shown, ITEMS_OF_WORLD)
    effort = Effort(rounds=1, tower_passes=1, first_tower=1, list_epochs=1)
    steps: list[str] = []
    options = msgspec.structs.replace(QUICK, effort=effort)
    make_version(
        VersionStore(tmp_path / "store"), first(tmp_path), told, base=world.Base(), complete=named,
        options=options, progress=lambda label, _done, _total: steps.append(label),
    )  # fmt: skip
    assert any("training on lists" in step for step in steps)


def test_evidence_has_each_reaction_once_with_its_weight() -> None:
    event = world.events(1)[0]
    told = Feedback(
        id="f", list="l", user=event.user, scene=event.scene, ts=event.ts, outcome=Outcome.TAKEN, reward=1.0,
        item=event.item, propensity=0.25, event=event.id, kind=event.kind, value=event.value, delay_ms=5.0,
        shown=(Shown(item=event.item or "", propensity=0.25), Shown(item="war-1", propensity=0.5)),
    )  # fmt: skip
    ranges = (Learned(topic="ouzel.events", partition=0, first=3, behind=5),)
    found = evidence_of([event, event], [told, told], ITEMS_OF_WORLD, learned=ranges)
    assert found.dataset.events == (event,)
    assert found.weights == {event.id: 4.0}
    assert [one.items for one in found.untaken] == [("war-1",)]
    assert found.learned == ranges


def test_evidence_is_in_order_of_time_and_newest_first_kept() -> None:
    events = world.events(3)
    unknown = msgspec.structs.replace(events[0], id="u", item="not in the catalogue")
    found = evidence_of([*reversed(events), unknown], [], ITEMS_OF_WORLD, most=5)
    assert found.dataset.events == tuple(events[-5:])
    assert "1 on items outside the catalogue" in found.dataset.note
    assert f"{len(events) - 5} older events" in found.dataset.note


def test_erased_users_are_not_learned(tmp_path: Path) -> None:
    """A version from the log with a user who was erased equals one from a log that never had the user."""
    events = world.events(30)
    gone = "p7"
    receipt = ErasureReceipt(order="o", user=gone, ts=events[-1].ts, cleared=())
    shown = Feedback(
        id="f", list="l", user=gone, scene="default", ts=events[0].ts, outcome=Outcome.NOT_TAKEN, reward=0.0,
        shown=(Shown(item="war-1", propensity=0.5),),
    )  # fmt: skip
    left = evidence_of(events, [shown], ITEMS_OF_WORLD, [receipt])
    assert not left.untaken
    assert gone not in {event.user for event in left.dataset.events}
    rest = evidence_of([event for event in events if event.user != gone], [], ITEMS_OF_WORLD)
    parent = first(tmp_path)
    names = [
        made(VersionStore(tmp_path / name), parent, told, CHEAP).version.name
        for name, told in (("a", left), ("b", rest))
    ]
    assert names[0] == names[1]
    assert made(VersionStore(tmp_path / "c"), parent, evidence(events), CHEAP).version.name != names[0]


MOST_LINES = 2_000
"""Of a child that makes versions until it is killed."""

CHILD = """
import sys
from pathlib import Path
from deploy.learning.versions import Parent, make_version
from inference.versions.store import VersionStore
from tests.deploy.learning import test_versions as t
from tests.support import training_world as world

def complete(adapter, items):
    print("half of the vectors", flush=True)
    name = t.named(adapter, items)
    print("all vectors", flush=True)
    return name

while True:
    make_version(
        VersionStore(Path(sys.argv[1])), Parent(1, Path(sys.argv[2])), t.evidence(world.events(30)), base=world.Base(),
        complete=complete, options=t.CHEAP, progress=lambda label, done, total: print(label, flush=True),
    )
"""


@pytest.mark.slow
def test_kills_leave_complete_versions_only(tmp_path: Path) -> None:
    """A process that makes one version after the other is killed in training, in writing, and right after."""
    parent, store = first(tmp_path), VersionStore(tmp_path / "store")
    unfinished = 0
    for label, delay in (
        ("training the tower", 0.0),
        ("round 1, text", 0.01),
        ("half of the vectors", 0.0),
        ("all vectors", 0.0),
        ("all vectors", 0.005),
        ("all vectors", 0.02),
    ):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(store.root), str(parent.adapter)],
            stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], env={**os.environ, "PYTHONPATH": "."}, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert any(line.startswith(label) for line in islice(child.stdout, MOST_LINES)), label
        time.sleep(delay)  # the moment of the kill
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        complete = store.numbers()
        unfinished += store.clear_unfinished()
        assert store.numbers() == complete
        for number in complete:
            assert load(store.folder(number) / "adapter").version in store.record(number).name
            assert (store.folder(number) / "adapter" / "vectors.safetensors").read_bytes() == b"vectors"
    assert unfinished > 0
    before = len(store.numbers())
    number = made(store, parent, evidence(world.events(30)), CHEAP).version.number
    assert store.numbers()[-1] == number
    assert len(store.numbers()) == before + 1
    assert all(path.name.isdecimal() for path in store.root.iterdir())
