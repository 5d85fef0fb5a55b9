"""Versions of a store are judged on evidence, and each has a card that says why it gets traffic or not."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import msgspec
import pytest

from deploy.datasets.dataset import Dataset
from deploy.learning.adapter import Options, train
from deploy.learning.gates import VersionGates
from inference.item_tokens.adapter import load
from inference.training import held_out
from inference.training.schedule import Plan
from inference.training.trainer import Recipe
from inference.training.validation import new_likes
from inference.versions.card import CARD, RELIABILITY
from inference.versions.gates.held_out import HeldOut
from inference.versions.gates.judge import DEFAULT, passed, stopped_by
from inference.versions.gates.measuring import Engine
from inference.versions.gates.trained_order import TrainedOrder
from inference.versions.store import RECORD, Version, VersionStore
from schemas.items import Item
from schemas.scoring import ScoreRequest, Scores
from tests.support import planted
from tests.support import tiny_model as tiny
from tests.support import training_world as world

ITEMS = tuple(Item(id=one.item, title=one.text, attributes=tuple(one.about.split(", "))) for one in world.CANDIDATES)
PEOPLE = 100
RECORDED = Version(number=2, name="v-2", parent=1, kind="full", made_ms=9, cut_ms=8, events=7, likes=6, tests=5)


class TinyLoader:
    base = "tiny"

    def decoder(self) -> Any:
        return tiny.model().model

    def engine(self, adapter: Path, *, exact: bool) -> Engine:
        return tiny.item_token_engine(load(adapter), dtype="fp32" if exact else "bf16")


class ServedOnly(TinyLoader):
    def engine(self, adapter: Path, *, exact: bool) -> Engine:
        assert not exact
        return super().engine(adapter, exact=exact)


class Ticking:
    """A scorer that is its clock: version 3 takes twice as long."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        self.now += 0.02 if number == 3 else 0.01
        return Scores(scores=(0.0,) * len(request.candidates), model_version=f"v-{number}")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "adapter"
    options = Options(
        folder,
        until=0.7,
        variants=1,
        rank=4,
        plan=Plan(epochs=5, validation=0.2, list_epochs=0),
        recipe=Recipe(head_rate=1e-2, lora_rate=3e-3, batch=8),
    )
    train(Dataset(ITEMS, tuple(world.events(PEOPLE)), "synthetic shelves"), options, world.Base())
    return folder


def stored(store: VersionStore, number: int, adapter: Path) -> None:
    with store.written(number) as folder:
        record = msgspec.structs.replace(RECORDED, number=number, name=f"v-{number}")
        (folder / RECORD).write_bytes(msgspec.json.encode(record))
        copytree(adapter, folder / "adapter")


def gates(store: VersionStore, good: Path) -> VersionGates:
    histories = world.histories(PEOPLE)
    learned = histories.before(int(0.7 * len(histories)))
    held = HeldOut(histories, world.CANDIDATES, new_likes(histories, learned, len(histories)), learned)
    ticking = Ticking()
    return VersionGates(
        store=store,
        loader=TinyLoader(),
        evidence=lambda number: held,
        adapter_of=lambda number: good,
        scorer=ticking,  # type: ignore[arg-type]
        clock=ticking,
        data="synthetic shelves; some people",
        terms="none",
        thresholds=msgspec.structs.replace(DEFAULT, calibration_error=0.05),
    )


async def test_good_version_passes_all_gates_and_its_card_says_so(good: Path, tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    stored(store, 2, good)
    judging = gates(store, good)
    found = await judging.judge(2, 1)
    assert passed(found), stopped_by(found)
    store.set_gates(2, found)
    found += await judging.measure(2, 1)
    assert passed(found), stopped_by(found)
    card = (store.folder(2) / "adapter" / CARD).read_text()
    assert f"passed all {len(found)} gates" in card
    for gate in found:
        assert f"| {gate.name} |" in card
    assert (store.folder(2) / "adapter" / RELIABILITY).read_text().startswith("<svg")
    assert load(store.folder(2) / "adapter").version == load(good).version


async def test_version_that_cannot_be_loaded_has_one_gate_and_a_card(good: Path, tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    stored(store, 2, planted.not_finite(good, tmp_path / "nan"))
    found = await gates(store, good).judge(2, 1)
    assert [gate.name for gate in found] == ["loads"]
    assert not passed(found)
    assert "gets no traffic" in (store.folder(2) / "adapter" / CARD).read_text()


async def test_worse_or_slower_version_is_stopped_with_its_reason(good: Path, tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "store")
    stored(store, 2, planted.changed_heads(good, tmp_path / "bad", planted.collapsed(-30.0)))
    stored(store, 3, good)
    judging = gates(store, good)
    stop = stopped_by(await judging.judge(2, 1))
    assert stop is not None
    assert stop.name == "next item NDCG@10"
    assert stop.text in (store.folder(2) / "adapter" / CARD).read_text()
    slow = await judging.measure(3, 1)
    assert not any(gate.passed for gate in slow)
    assert "p99 latency" in (store.folder(3) / "adapter" / CARD).read_text()


async def test_version_is_compared_with_the_network_as_it_was_trained(good: Path, tmp_path: Path) -> None:
    """No item is read in fp32 for that, and an order that is not the version's own stops it."""
    store = VersionStore(tmp_path)
    stored(store, 2, good)
    stored(store, 3, good)
    judging = gates(store, good)
    served = replace(judging, loader=ServedOnly())
    held = judging.evidence(2)
    network = world.network(start=load(good))
    made = held_out.judge(network, held.histories.met(held.learned), held.histories, held.tests)
    TrainedOrder.of(made, held.histories, held.tests).write(store.folder(2))
    found = await served.judge(2, 1)
    assert passed(found), stopped_by(found)
    assert TrainedOrder.read(store.folder(2)) is None  # it was of use only once
    other = replace(made, contexts=made.contexts[::-1])
    TrainedOrder.of(other, held.histories, held.tests).write(store.folder(3))
    stop = stopped_by(await served.judge(3, 1))
    assert stop is not None
    assert stop.name == "rank agreement"


async def test_same_seed_judges_alike(good: Path, tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    stored(store, 2, good)
    judging = gates(store, good)
    assert await judging.judge(2, 1) == await replace(judging).judge(2, 1)
