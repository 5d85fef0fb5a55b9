"""Real versions of a tiny model: what is measured of them, and which of the planted faults the gates stop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deploy.datasets.dataset import Dataset
from deploy.learning.adapter import Options, train
from inference.item_tokens.adapter import load
from inference.off_policy.decisions import Decisions
from inference.training.histories import Histories, owners
from inference.training.schedule import Plan
from inference.training.sequences import context_begin
from inference.training.trainer import Recipe
from inference.training.validation import answers, new_likes, retrieved
from inference.versions.gates.held_out import HeldOut, LoggedLists, logged, sampled
from inference.versions.gates.judge import DEFAULT, judge, passed, stopped_by
from inference.versions.gates.loading import VECTORS, loads
from inference.versions.gates.measuring import Asked, Reference, exact_logits, trial_before, trial_of
from schemas.events import EventKind
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.items import Item
from tests.support import planted
from tests.support import tiny_model as tiny
from tests.support import training_world as world

ITEMS = tuple(Item(id=one.item, title=one.text, attributes=tuple(one.about.split(", "))) for one in world.CANDIDATES)
PEOPLE = 120
THRESHOLDS = msgspec.structs.replace(DEFAULT, calibration_error=0.05)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions") / "1"
    options = Options(
        folder,
        until=0.7,
        variants=2,
        rank=4,
        residuals=True,
        plan=Plan(epochs=6, tower_epochs=6, validation=0.2, list_epochs=0),
        recipe=Recipe(head_rate=1e-2, lora_rate=3e-3, batch=8),
    )
    train(Dataset(ITEMS, tuple(world.events(PEOPLE)), "synthetic shelves"), options, world.Base())
    return folder


@pytest.fixture(scope="module")
def held() -> HeldOut:
    histories = world.histories(PEOPLE)
    learned = histories.before(int(0.7 * len(histories)))
    return HeldOut(histories, world.CANDIDATES, new_likes(histories, learned, len(histories)), learned)


def engine(folder: Path, **settings: object):
    return lambda: tiny.item_token_engine(load(folder), **settings)


def judged(champion: Path, challenger: Callable[[], object], held: HeldOut, exact: Path | None = None):
    reference = Asked(engine(exact or champion)(), held)
    trial = trial_of(
        engine(champion),
        challenger,  # type: ignore[arg-type]
        held,
        Reference.of(held, reference.before),
    )
    return judge(trial, THRESHOLDS, np.random.default_rng(0))


def test_good_version_passes(champion: Path, held: HeldOut) -> None:
    gates = judged(champion, engine(champion), held)
    assert passed(gates), stopped_by(gates)
    assert [gate.figure for gate in gates[1:4]] == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)


def test_figures_are_those_of_the_trained_network(champion: Path, held: HeldOut) -> None:
    """The engine ranks the liked items where the network that was trained ranks them."""
    network = world.network(residuals=True, start=load(champion))
    # The engine's logits are calibrated, which changes no order.
    known = held.histories.met(held.learned)
    places = retrieved(answers(network, known, held.histories, held.tests), held.histories, held.tests)
    asked = Asked(engine(champion)(), held)
    found = asked.measured()
    assert (found.places == places).mean() > 0.97
    assert found.broken == 0
    exact = exact_logits(network, held)(held.tests[:20])
    served = asked.before(held.tests[:20])
    for one, other in zip(exact, served, strict=True):
        seen = np.isfinite(one)
        assert np.array_equal(seen, np.isfinite(other))
        assert np.corrcoef(one[seen], other[seen])[0, 1] > 0.999


@dataclass(frozen=True)
class Vectors:
    """As the training knows them before its last pass."""

    contexts: np.ndarray
    vectors: np.ndarray


def vectors(folder: Path, held: HeldOut) -> Vectors:
    network = world.network(residuals=True, start=load(folder))
    said = answers(network, held.histories.met(held.learned), held.histories, held.tests)
    return Vectors(said.contexts[held.tests].astype(np.float32), said.vectors[-1])


def test_version_that_learned_the_tests_is_judged_by_what_it_was_before(champion: Path, held: HeldOut) -> None:
    before = vectors(champion, held)
    reference = Asked(engine(champion)(), held)
    exact = Reference.of(held, reference.before)
    same = trial_before(before, before, engine(champion), held, exact)
    served = reference.measured()
    assert (same.challenger.places == served.places).mean() > 0.97
    assert same.challenger.top.shape == served.top.shape
    assert all(gate.passed for gate in judge(same, THRESHOLDS, np.random.default_rng(0)) if "calib" not in gate.name)
    worse = Vectors(before.contexts[::-1], before.vectors)
    bad = judge(trial_before(before, worse, engine(champion), held, exact), THRESHOLDS, np.random.default_rng(0))
    stop = stopped_by(bad)
    assert stop is not None
    assert stop.name == "next item NDCG@10"
    broken = Vectors(before.contexts * np.float32(np.nan), before.vectors)
    stop = stopped_by(
        judge(trial_before(before, broken, engine(champion), held, exact), THRESHOLDS, np.random.default_rng(0))
    )
    assert stop is not None
    assert stop.name == "finite scores"


def test_shortlist_shorter_than_a_list_is_refused(champion: Path, held: HeldOut) -> None:
    with pytest.raises(ValueError, match="max_candidates"):
        Asked(engine(champion)(), held, 9)


FAULTS: dict[str, tuple[Callable[..., object], str]] = {
    "shuffled tokens": (
        lambda good, into: lambda: planted.Shuffled(engine(good)(), world.CANDIDATES),
        "rank agreement",
    ),
    "overconfident": (
        lambda good, into: engine(planted.changed_heads(good, into, planted.overconfident)),
        "calibration error",
    ),
    "collapsed": (
        lambda good, into: engine(planted.changed_heads(good, into, planted.collapsed(-30.0))),
        "next item NDCG@10",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_stopped(name: str, champion: Path, held: HeldOut, tmp_path: Path) -> None:
    plant, stop = FAULTS[name]
    challenger = plant(champion, tmp_path / "bad")
    # A fault of the served form alone shows beside the trained network; the others are faults of the network, too.
    exact = None if stop == "rank agreement" else tmp_path / "bad"
    found = stopped_by(judged(champion, challenger, held, exact))  # type: ignore[arg-type]
    assert found is not None
    assert found.name == stop, found


def test_shuffled_tokens_are_stopped_by_quality_as_well(champion: Path, held: HeldOut) -> None:
    gates = judged(champion, lambda: planted.Shuffled(engine(champion)(), world.CANDIDATES), held)
    assert "next item NDCG@10" in {gate.name for gate in gates if not gate.passed}


def test_version_that_cannot_be_loaded_is_stopped_with_the_reason(champion: Path, tmp_path: Path) -> None:
    decoder = tiny.model().model
    gate = loads(champion, decoder, "tiny", world.ITEMS)
    assert (gate.passed, gate.figure) == (True, 1.0)
    broken = planted.not_finite(champion, tmp_path / "nan")
    for folder, base, items, why in (
        (broken, "tiny", world.ITEMS, "non-finite"),
        (tmp_path / "nothing", "tiny", world.ITEMS, "no readable adapter"),
        (champion, "another", world.ITEMS, "trained on tiny"),
        (champion, "tiny", ["x"], "0% of them in the catalogue"),
    ):
        gate = loads(folder, decoder, base, items)
        assert not gate.passed
        assert why in gate.text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"vectors": torch.full((2, 21), float("nan"))}, "non-finite"),
        ({"tokens": torch.zeros(2, 31)}, "other sizes"),
        ({"keys": torch.zeros(3, 20, dtype=torch.uint8)}, "other sizes"),
        ({"vectors": None}, "cannot be read"),
    ],
)
def test_item_vectors_that_do_not_fit_are_stopped(changes, why: str, champion: Path, tmp_path: Path) -> None:
    folder = planted.changed_heads(champion, tmp_path / "v", lambda adapter: None)
    shape = load(folder).shape
    right = {
        "keys": torch.zeros(2, 20, dtype=torch.uint8),
        "tokens": torch.zeros(2, shape.hidden),
        "vectors": torch.zeros(2, shape.vector),
    }
    save_file(right, folder / VECTORS)
    assert loads(folder, tiny.model().model, "tiny", world.ITEMS).passed
    save_file({name: tensor for name, tensor in {**right, **changes}.items() if tensor is not None}, folder / VECTORS)
    gate = loads(folder, tiny.model().model, "tiny", world.ITEMS)
    assert not gate.passed
    assert why in gate.text


def lists(held: HeldOut, history: int, place: int) -> LoggedLists:
    """One decision for each item that could be chosen, below two others."""
    count = len(held.texts)
    above = np.array([0, 1])
    return LoggedLists(
        history=np.full(count, history),
        place=np.full(count, place),
        item=np.arange(count),
        above=tuple(above[above != item] for item in range(count)),
        decisions=Decisions(np.zeros(count, np.int64), np.zeros(count), np.ones(count)),
    )


def test_chances_of_all_choices_are_a_distribution(champion: Path, held: HeldOut) -> None:
    test = int(held.tests[-1])
    history = int(held.histories.history[test])
    given = HeldOut(held.histories, held.texts, held.tests, held.learned, lists(held, history, test))
    chances, wrong = Asked(engine(champion)(), given).chances()
    assert wrong == 0
    met = set(held.histories.item[held.before(test, history)].tolist())
    assert all(chances[item] == 0.0 for item in met)
    assert sum(chances[2:]) == pytest.approx(1.0, rel=1e-5)


def feedback(name: str, user: str, ts: int, outcome: Outcome = Outcome.NOT_TAKEN, **fields: object) -> Feedback:
    return Feedback(
        id=f"{name}-{ts}", list=name, user=user, scene="default", ts=ts, outcome=outcome, reward=0.0, **fields  # type: ignore[arg-type]
    )  # fmt: skip


def test_decisions_are_the_uncertain_entries_of_logged_lists() -> None:
    stream = world.events(4)
    histories = world.histories(4)
    at = stream[10].ts
    shown = (
        Shown(item="war-0", propensity=1.0),
        Shown(item="war-1", propensity=0.25),
        Shown(item="unknown", propensity=0.5),
    )
    told = [
        feedback("b", "nobody", at + 5, closed=Closed.WINDOW, shown=shown, delay_ms=5.0),
        msgspec.structs.replace(
            feedback("a", stream[10].user, at + 9, Outcome.TAKEN, item="war-1", event="e", kind=EventKind.LIKE),
            reward=1.0,
            delay_ms=10.0,
        ),
        feedback("a", stream[10].user, at + 20, closed=Closed.WINDOW, shown=shown, delay_ms=21.0),
        feedback("c", "nobody", at + 30, closed=Closed.WINDOW),
    ]
    found = logged(told, histories, owners(stream))
    assert found.item.tolist() == [histories.items.index("war-1")] * 2
    assert found.decisions.propensities.tolist() == [0.25, 0.25]
    assert found.decisions.rewards.tolist() == [1.0, 0.0]  # list a was published first
    assert found.history.tolist() == [histories.history[10], -1]
    assert found.place.tolist() == [10, 10]
    assert [some.tolist() for some in found.above] == [[histories.items.index("war-0")]] * 2
    assert len(logged(told, histories, owners(stream), most=1).item) == 1
    assert len(logged([], histories, owners(stream)).item) == 0


def test_tests_are_drawn_and_ascending() -> None:
    drawn = sampled(np.arange(100), 10)
    assert len(set(drawn.tolist())) == 10
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(sampled(np.arange(5), 10), np.arange(5))


def test_unsorted_tests_and_missing_texts_are_refused(held: HeldOut) -> None:
    with pytest.raises(ValueError, match="ascending"):
        HeldOut(held.histories, held.texts, held.tests[::-1], held.learned)
    with pytest.raises(ValueError, match="texts"):
        HeldOut(held.histories, held.texts[1:], held.tests, held.learned)


def test_no_likes_have_no_logits(champion: Path, held: HeldOut) -> None:
    assert Asked(engine(champion)(), held).before(held.tests[:0]).shape == (0, len(held.texts))


def test_request_has_the_events_that_a_worker_sends(held: HeldOut) -> None:
    """A worker's window moves in steps: a version that gets more events than that is another one."""
    one = np.zeros(160, np.int64)
    stream = Histories(
        held.histories.items,
        one,
        np.arange(160) % len(ITEMS),
        one + 2,
        np.arange(160) * 1_000,
        np.ones(160, np.float32),
    )
    asked = HeldOut(stream, world.CANDIDATES, np.array([159]), 100)
    for count in (3, 50, 51, 76, 120):
        sent = asked.request(count, 0).history
        assert len(sent) == count - context_begin(count)
        assert sent[-1].ts == (count - 1) * 1_000
