"""The schedule of a training: in sequence, then on lists, then calibration, validated on the newest events.

With parameters of single items, the tower over item ids is trained and validated first, separately.

The newest part of the training data is held out for validation. In sequence, the best epoch is kept, with early
stopping. Training on lists is kept only if it reranks the model's own top items no worse. Calibration is fitted on the
validation part. Finally the newest part may be learned as well, in one pass without validation.
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
from inference.training.calibration import Calibration
from inference.training.checkpoint import Checkpoints, State
from inference.training.histories import Histories, Ints
from inference.training.impressions import NO_IMPRESSIONS, Impressions
from inference.training.lists import ListRecipe, ListTrainer
from inference.training.network import ItemTokenNetwork, Network
from inference.training.trainer import Recipe, Trainer, falling
from inference.training.validation import (
    Figures,
    answers,
    baselines,
    best,
    calibrated,
    figures,
    new_likes,
    reranked,
    retrieved,
)
from inference.training.walk_forward import Bools, epoch_report

SHORTLIST = 100
"""Number of the model's own top items that are reranked."""

LISTS = ListRecipe()
TOWER = Recipe(batch=32)

TOLERANCE = 0.99
"""Training on lists is kept only if retrieval keeps at least this share of its NDCG."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The extent of a training. `validation`: the share of the training data, the newest, that is held out.
    `again`: when continuing from an adapter, the share of older pieces that each epoch replays. `judged`: maximum tests
    for judging lists. `finish`: finally learn the newest part as well. `tower_epochs`: maximum epochs of the tower,
    which starts untrained."""

    tower_epochs: Annotated[int, Meta(ge=1, le=1_000)] = 40
    epochs: Annotated[int, Meta(ge=1, le=1_000)] = 16
    patience: Annotated[int, Meta(ge=1, le=1_000)] = 4
    validation: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    again: Annotated[float, Meta(ge=0, le=1)] = 0.2
    list_epochs: Annotated[int, Meta(ge=0, le=1_000)] = 2
    judged: Annotated[int, Meta(ge=1)] = 1_000
    finish: bool = False


class Epoch(msgspec.Struct, frozen=True):
    """The mean loss of an epoch in nats, and the validation after it."""

    loss: float
    validation: Figures


class OnLists(msgspec.Struct, frozen=True, kw_only=True):
    """Results of training on lists: the model's own `SHORTLIST` top items as retrieved and as reranked, before and
    after."""

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
    """The progress so far: epochs of the tower, validated alone, and in sequence; the losses on lists; the seconds of
    each phase. `untrained` and `begun`: validation before any training, and before `epochs`."""

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
        """The best epoch, from 0; -1 before the first."""
        return best_of(self.epochs)


@dataclass
class Trained:
    """The result of a training. The network holds the best state; its heads are calibrated if `calibration` is set."""

    cut: int
    begin: int
    known: Bools
    done: Done
    validation: Figures
    baselines: dict[str, Figures]
    lists: OnLists | None
    calibration: Calibration | None
    finished: bool
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def gates(self) -> dict[str, bool]:
        """The quality gates, and whether the model passes them."""
        passed = {"better than before training": self.validation.ndcg > _ndcg(self.done.untrained)}
        for name, baseline in self.baselines.items():
            passed[f"better than {name}"] = self.validation.ndcg > baseline.ndcg
        if self.calibration is not None:
            passed["calibration error does not increase"] = self.calibration.after <= self.calibration.before
        return passed


class Course:
    """One training of `network` on the first `cut` events, of which it has already learned those before `since`."""

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
        shown: Impressions = NO_IMPRESSIONS,
        seed: int = 0,
        checkpoints: Checkpoints[Done] | None = None,
        progress: Progress = silent,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Raises `NothingToLearn` if there are no events to train on or no tests for validation."""
        self._network, self._histories = network, histories
        self._cut, self._since = histories.before(cut), since
        self._begin = self._validation_begin(plan)
        self._plan = plan
        self._trainer = Trainer(network.text, histories, recipe, seed)
        self._tower = None if network.tower is None else Trainer(network.tower, histories, tower, seed)
        self._lister = ListTrainer(network, histories, lists, seed, shown)
        self._seed = seed
        self._checkpoints, self._progress = checkpoints, progress
        self._clock, self._mark = clock, clock()
        self._known = histories.met(self._begin)
        self._tests = new_likes(histories, self._begin, self._cut)
        if not len(self._tests) or not len(new_likes(histories, since, self._begin)):
            raise NothingToLearn(
                f"{self._cut:,} events leave nothing to train on or no likes for validation; use more events, a larger "
                "share of them, or name the column that says what users liked"
            )
        drawn = np.random.default_rng(seed).permutation(self._tests)[: plan.judged]
        self._judged: Ints = np.sort(drawn)
        self._done = Done()
        self._best: State = self._state()

    def run(self, *, resume: bool = False) -> Trained:
        """Run the training; with `resume`, from the last checkpoint, if any. Raises `TrainingDiverged`."""
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
        baseline_figures = baselines(self._histories, self._tests)
        self._spend("validation")
        if self._plan.finish:
            self._finish()
        whole = sum(self._done.seconds.values()) or 1.0
        return Trained(
            cut=self._cut,
            begin=self._begin,
            known=self._histories.met(self._cut) if self._plan.finish else self._known,
            done=self._done,
            validation=measured,
            baselines=baseline_figures,
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
        self, trainer: Trainer, done: list[Epoch], most: int, label: str, judged: Network, baseline: float
    ) -> None:
        """Train a part with early stopping on the validation of `judged`, and restore the network's best state."""
        recipe, plan = trainer.recipe, self._plan
        going_on = recipe.later_rate if self._since else 1.0
        while len(done) < most and len(done) - 1 - best_of(done) < plan.patience:
            epoch, best_so_far = len(done), max([baseline, *(one.validation.ndcg for one in done)])
            rate = falling(recipe, epoch, most)
            loss = trainer.learn(
                self._begin,
                since=self._since,
                again=plan.again if self._since else 0.0,
                rate=lambda part, rate=rate: going_on * rate(part),  # type: ignore[misc]
                report=epoch_report(self._progress, f"{label} {epoch + 1}, best NDCG {best_so_far:.4f}", most, epoch),
            )
            self._spend("in sequence")
            with trainer.averaged():
                done.append(Epoch(loss, self._measure(judged)))
                if best_of(done) == epoch and done[epoch].validation.ndcg > baseline:
                    self._best = self._state()
            self._spend("validation")
            self._keep()
        self._network.module.load_state_dict(dict(self._best))

    def _on_lists(self) -> OnLists:
        done, plan = self._done, self._plan
        if done.stage != "on lists":
            done.stage = "on lists"
            done.before_lists = self._judge_lists()
            self._spend("validation")
            self._keep()
        assert done.before_lists is not None
        while len(done.list_losses) < plan.list_epochs:
            epoch = len(done.list_losses)
            report = epoch_report(self._progress, f"training on lists, epoch {epoch + 1}", plan.list_epochs, epoch)
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
        self._spend("validation")
        return found

    def _calibrate(self) -> Calibration | None:
        """Calibrate the heads to log-odds, using the model's own top ten before each test."""
        said = answers(self._network, self._known, self._histories, self._tests)
        found = calibrated(said, self._histories, self._tests)
        if found is not None:
            self._network.heads.calibrate(found.slope, found.offset)
        return found

    def _finish(self) -> None:
        """Learn the newest part in one pass with a new optimizer, keeping the calibration."""
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
                report=epoch_report(self._progress, "learning the newest part", 1, 0),
            )
        heads.calibrate(slope, offset)
        self._spend("in sequence")

    def _measure(self, network: Network) -> Figures:
        said = answers(network, self._known, self._histories, self._tests)
        return figures(retrieved(said, self._histories, self._tests))

    def _judge_lists(self) -> tuple[Figures, Figures]:
        """The figures of the judged tests, as retrieved and with the top items reranked."""
        asked = self._judged
        said = answers(self._network, self._known, self._histories, asked)
        lists = best(said, self._histories, asked, SHORTLIST)
        again = reranked(self._network, self._known, self._histories, asked, lists)
        return figures(retrieved(said, self._histories, asked)), figures(again)

    def _validation_begin(self, plan: Plan) -> int:
        """The start of the validation part: the last share of the stream, or the later half of the new events if that
        is smaller."""
        wanted = max(int(self._cut * (1.0 - plan.validation)), self._since + (self._cut - self._since) // 2)
        return self._histories.before(wanted)

    @property
    def _at_work(self) -> Trainer | ListTrainer:
        """The trainer of the current stage."""
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
        """Add the time since the last call to a phase."""
        now = self._clock()
        self._done.seconds[what] = self._done.seconds.get(what, 0.0) + now - self._mark
        self._mark = now


def best_of(epochs: Sequence[Epoch]) -> int:
    """The best epoch, from 0; -1 if there is none."""
    return max(range(len(epochs)), key=lambda at: (epochs[at].validation.ndcg, -at), default=-1)


def _ndcg(found: Figures | None) -> float:
    return found.ndcg if found is not None else 0.0
