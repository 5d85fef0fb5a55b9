"""The whole course of a training: in sequence, then on lists, then calibration, judged on what came last.

Where single items are learned too, the tower over their ids is trained before the rest, by itself and judged by itself.

The last part of what may be learned is kept back as validation. In sequence the best epoch counts and a few without a
better one end it; lists are kept only if they order the model's own best no worse; calibration is fitted on validation.
In the end the newest part may be learned too, in one pass that nothing judges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from torch import Tensor

from inference.errors import NothingToLearn
from inference.progress import Progress, silent
from inference.training.calibration import Calibration, calibrate
from inference.training.checkpoint import Checkpoints, State
from inference.training.histories import Histories, Ints
from inference.training.lists import ListRecipe, ListTrainer
from inference.training.network import ItemTokenNetwork, Network
from inference.training.trainer import Recipe, Trainer, falling
from inference.training.validation import DEPTH, Figures, answers, best, figures, floors, new_likes, reranked, retrieved
from inference.training.walk_forward import Bools, told

SHORTLIST = 100
"""Of the model's own best, how many are ordered again."""

LISTS = ListRecipe()
TOWER = Recipe(batch=32)

TOLERANCE = 0.99
"""What the retrieval may keep of its NDCG for training on lists to be kept."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a training goes. `validation`: the share of what may be learned that is kept back, the last in time.
    `again`: when going on from an adapter, the share of older pieces that is learned again in each epoch.
    `judged`: tests that lists are judged by, at most. `finish`: learn the newest part as well in the end.
    `tower_epochs`: of the tower, which knows nothing to begin with."""

    tower_epochs: Annotated[int, Meta(ge=1, le=1_000)] = 40
    epochs: Annotated[int, Meta(ge=1, le=1_000)] = 16
    patience: Annotated[int, Meta(ge=1, le=1_000)] = 4
    validation: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    again: Annotated[float, Meta(ge=0, le=1)] = 0.2
    list_epochs: Annotated[int, Meta(ge=0, le=1_000)] = 2
    judged: Annotated[int, Meta(ge=1)] = 1_000
    finish: bool = False


class Epoch(msgspec.Struct, frozen=True):
    """One epoch: its mean loss in nats, and the validation after it."""

    loss: float
    validation: Figures


class OnLists(msgspec.Struct, frozen=True, kw_only=True):
    """Training on lists: the model's own `SHORTLIST` best in its order, and as scored again, before and after."""

    losses: list[float]
    retrieved_before: Figures
    retrieved_after: Figures
    reranked_before: Figures
    reranked_after: Figures

    @property
    def kept(self) -> bool:
        enough = self.retrieved_after.ndcg >= TOLERANCE * self.retrieved_before.ndcg
        return enough and self.reranked_after.ndcg >= self.reranked_before.ndcg


Stage = Literal["tower", "in sequence", "on lists"]


class Done(msgspec.Struct, kw_only=True):
    """What was done so far: epochs of the tower, judged alone, and in sequence; the losses on lists; the seconds that
    each part took. `untrained` and `begun`: validation before anything was learned, and before `epochs`."""

    stage: Stage = "tower"
    untrained: Figures | None = None
    tower: list[Epoch] = []
    begun: Figures | None = None
    epochs: list[Epoch] = []
    before_lists: tuple[Figures, Figures] | None = None
    list_losses: list[float] = []
    seconds: dict[str, float] = {}

    @property
    def best(self) -> int:
        """Which epoch, from 0, was the best; -1 before the first."""
        return best_of(self.epochs)


@dataclass
class Trained:
    """What came out. The network holds the best state; its heads are calibrated where `calibration` is there."""

    cut: int
    begin: int
    known: Bools
    done: Done
    validation: Figures
    floors: dict[str, Figures]
    lists: OnLists | None
    calibration: Calibration | None
    finished: bool
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def gates(self) -> dict[str, bool]:
        """What a model has to be better than, and whether it is."""
        passed = {"better than before its training": self.validation.ndcg > _ndcg(self.done.untrained)}
        for name, floor in self.floors.items():
            passed[f"better than {name}"] = self.validation.ndcg > floor.ndcg
        if self.calibration is not None:
            passed["calibration does not make it worse"] = self.calibration.after <= self.calibration.before
        return passed


class Course:
    """One training of `network` on the first `cut` events, of which those before `since` were learned already."""

    def __init__(
        self,
        network: ItemTokenNetwork,
        histories: Histories,
        *,
        cut: int,
        since: int = 0,
        recipe: Recipe,
        plan: Plan,
        tower: Recipe = TOWER,
        lists: ListRecipe = LISTS,
        seed: int = 0,
        checkpoints: Checkpoints[Done] | None = None,
        progress: Progress = silent,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Raises `NothingToLearn` where there is nothing to train on, or nothing to judge by."""
        self._network, self._histories = network, histories
        self._cut, self._since = histories.before(cut), since
        self._begin = self._validation_begin(plan)
        self._plan = plan
        self._trainer = Trainer(network.text, histories, recipe, seed)
        self._tower = None if network.tower is None else Trainer(network.tower, histories, tower, seed)
        self._lister = ListTrainer(network, histories, lists, seed)
        self._seed = seed
        self._checkpoints, self._progress = checkpoints, progress
        self._clock, self._mark = clock, clock()
        self._known = histories.met(self._begin)
        self._tests = new_likes(histories, self._begin, self._cut)
        if not len(self._tests) or not len(new_likes(histories, since, self._begin)):
            raise NothingToLearn(
                f"of {self._cut:,} events there are none to train on or no likes to judge by; give more events, a "
                "greater share of them, or name the column that says what people liked"
            )
        drawn = np.random.default_rng(seed).permutation(self._tests)[: plan.judged]
        self._judged: Ints = np.sort(drawn)
        self._done = Done()
        self._best: State = self._state()

    def run(self, *, resume: bool = False) -> Trained:
        """Carry it out; with `resume` from the last checkpoint, if there is one. Raises `TrainingDiverged`."""
        kept = self._checkpoints.load() if resume and self._checkpoints is not None else None
        if kept is not None:
            self._done, self._best = kept.done, kept.best
            kept.restore(self._network.module, self._at_work.optimizer, self._at_work.rng)
        elif self._checkpoints is not None:
            self._checkpoints.clear()
        self._mark = self._clock()
        if self._done.untrained is None:
            self._done.untrained = self._measure(self._network)
            self._keep()
        self._learn_tower()
        self._in_sequence()
        lists = self._on_lists() if self._plan.list_epochs else None
        measured = self._measure(self._network)
        calibration = self._calibrate()
        beside = floors(self._histories, self._tests)
        self._spend("judging")
        if self._plan.finish:
            self._finish()
        whole = sum(self._done.seconds.values()) or 1.0
        return Trained(
            cut=self._cut,
            begin=self._begin,
            known=self._histories.met(self._cut) if self._plan.finish else self._known,
            done=self._done,
            validation=measured,
            floors=beside,
            lists=lists,
            calibration=calibration,
            finished=self._plan.finish,
            shares={name: seconds / whole for name, seconds in self._done.seconds.items()},
        )

    def _learn_tower(self) -> None:
        if self._tower is not None and self._done.stage == "tower":
            label = "training the tower, epoch"
            self._epochs(self._tower, self._done.tower, self._plan.tower_epochs, label, self._tower.network, 0.0)

    def _in_sequence(self) -> None:
        done = self._done
        if done.stage == "tower":
            done.stage = "in sequence"
            done.begun = done.untrained if self._tower is None else self._measure(self._network)
            self._keep()
        if done.stage == "in sequence":
            label = "training in sequence, epoch"
            self._epochs(self._trainer, done.epochs, self._plan.epochs, label, self._network, _ndcg(done.begun))

    def _epochs(  # noqa: PLR0917
        self, trainer: Trainer, done: list[Epoch], most: int, label: str, judged: Network, floor: float
    ) -> None:
        """Train a part until it gets no better, by what `judged` says, and leave the network at its best."""
        recipe, plan = trainer.recipe, self._plan
        going_on = recipe.later_rate if self._since else 1.0
        while len(done) < most and len(done) - 1 - best_of(done) < plan.patience:
            epoch, best_so_far = len(done), max([floor, *(one.validation.ndcg for one in done)])
            rate = falling(recipe, epoch, most)
            loss = trainer.learn(
                self._begin,
                since=self._since,
                again=plan.again if self._since else 0.0,
                rate=lambda part, rate=rate: going_on * rate(part),  # type: ignore[misc]
                report=told(self._progress, f"{label} {epoch + 1}, best NDCG {best_so_far:.4f}", most, epoch),
            )
            self._spend("in sequence")
            with trainer.averaged():
                done.append(Epoch(loss, self._measure(judged)))
                if best_of(done) == epoch and done[epoch].validation.ndcg > floor:
                    self._best = self._state()
            self._spend("judging")
            self._keep()
        self._network.module.load_state_dict(dict(self._best))

    def _on_lists(self) -> OnLists:
        done, plan = self._done, self._plan
        if done.stage != "on lists":
            done.stage = "on lists"
            done.before_lists = self._judge_lists()
            self._spend("judging")
            self._keep()
        assert done.before_lists is not None
        while len(done.list_losses) < plan.list_epochs:
            epoch = len(done.list_losses)
            report = told(self._progress, f"training on lists, epoch {epoch + 1}", plan.list_epochs, epoch)
            done.list_losses.append(self._lister.learn(self._begin, self._known, since=self._since, report=report))
            self._spend("on lists")
            self._keep()
        after = self._judge_lists()
        found = OnLists(
            losses=done.list_losses,
            retrieved_before=done.before_lists[0],
            reranked_before=done.before_lists[1],
            retrieved_after=after[0],
            reranked_after=after[1],
        )
        if found.kept:
            self._best = self._state()
        self._network.module.load_state_dict(dict(self._best))
        self._spend("judging")
        return found

    def _calibrate(self) -> Calibration | None:
        """Have the heads say log-odds, from the model's own best ten before each test: was it taken?"""
        said = answers(self._network, self._known, self._histories, self._tests)
        lists = best(said, self._histories, self._tests, DEPTH)
        scores = [
            said.vectors[-1][some] @ said.contexts[place].astype(np.float32)
            for place, some in zip(self._tests.tolist(), lists, strict=True)
        ]
        taken = [some == self._histories.item[place] for place, some in zip(self._tests.tolist(), lists, strict=True)]
        half = np.repeat(self._histories.history[self._tests] % 2 == 0, [len(some) for some in lists])
        found = calibrate(np.concatenate(scores).astype(np.float64), np.concatenate(taken), half)
        if found is not None:
            self._network.heads.calibrate(found.slope, found.offset)
        return found

    def _finish(self) -> None:
        """Learn the newest part in one pass, with an optimizer of its own. Calibration stays."""
        heads = self._network.heads
        slope, offset = float(heads.slope), float(heads.offset)
        heads.calibrate(1.0, 0.0)
        for trained in (self._tower, self._trainer):
            if trained is None:
                continue
            recipe = trained.recipe
            Trainer(trained.network, self._histories, recipe, self._seed + 1).learn(
                self._cut,
                since=self._begin,
                rate=lambda part, recipe=recipe: recipe.later_rate * min(0.01 + 10 * part, 1.0 - 0.9 * part),  # type: ignore[misc]
                report=told(self._progress, "learning the newest part", 1, 0),
            )
        heads.calibrate(slope, offset)
        self._spend("in sequence")

    def _measure(self, network: Network) -> Figures:
        said = answers(network, self._known, self._histories, self._tests)
        return figures(retrieved(said, self._histories, self._tests))

    def _judge_lists(self) -> tuple[Figures, Figures]:
        """The judged tests by retrieval, and with the best of it scored again."""
        asked = self._judged
        said = answers(self._network, self._known, self._histories, asked)
        lists = best(said, self._histories, asked, SHORTLIST)
        again = reranked(self._network, self._known, self._histories, asked, lists)
        return figures(retrieved(said, self._histories, asked)), figures(again)

    def _validation_begin(self, plan: Plan) -> int:
        """The last share of the stream, or the later half of what is new where that is less."""
        wanted = max(int(self._cut * (1.0 - plan.validation)), self._since + (self._cut - self._since) // 2)
        return self._histories.before(wanted)

    @property
    def _at_work(self) -> Trainer | ListTrainer:
        """What trains at this stage."""
        if self._done.stage == "on lists":
            return self._lister
        return self._tower if self._tower is not None and self._done.stage == "tower" else self._trainer

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._network.module.state_dict().items()}

    def _keep(self) -> None:
        if self._checkpoints is not None:
            part = self._at_work
            self._checkpoints.save(self._done, self._network.module, self._best, part.optimizer, part.rng)

    def _spend(self, what: str) -> None:
        """Count the time since the last call."""
        now = self._clock()
        self._done.seconds[what] = self._done.seconds.get(what, 0.0) + now - self._mark
        self._mark = now


def best_of(epochs: Sequence[Epoch]) -> int:
    """Which epoch, from 0, was the best; -1 where there is none."""
    return max(range(len(epochs)), key=lambda at: (epochs[at].validation.ndcg, -at), default=-1)


def _ndcg(found: Figures | None) -> float:
    return found.ndcg if found is not None else 0.0
