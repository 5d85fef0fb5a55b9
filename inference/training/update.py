"""The training of a version from its parent: a few rounds over the newest events and a sample of older ones.

A round is one pass of the text part and several of the tower, each trained separately (`trainer`). The newest events
are held out: after each round they say how good it is, and the best round is kept. They stay unlearned, so that gates
judge what goes live; the next version learns them.

    full     all trained parameters
    items    only the rows of items with new events; everything else stays, bit for bit
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from torch import Tensor

from inference.errors import NothingToLearn
from inference.progress import Progress
from inference.training.calibration import Calibration
from inference.training.held_out import HeldOut, judge, surprise
from inference.training.histories import NO_ITEM, Histories
from inference.training.impressions import NO_IMPRESSIONS, Impressions
from inference.training.item_rows import TEXT_PART, TOWER_PART, rows_of
from inference.training.lists import ListRecipe, ListTrainer
from inference.training.network import ItemTokenNetwork, Network
from inference.training.trainer import Recipe, Trainer, falling
from inference.training.validation import answers, best, calibrated, figures, new_likes, reranked
from inference.training.walk_forward import Bools, averaged, epoch_report
from inference.versions.store import Kind

SHORTLIST = 50
JUDGED_LISTS = 200

FIRST_TOWER_SHARE = 0.5
"""Of the time of an update, what the passes of a tower that starts untrained may take."""

TIMED_SHARE = 0.1
"""Of a pass, to estimate how long one takes. It changes nothing but the optimizer's means."""

LEAST_FIRST_TOWER = 15
"""The fewest passes of such a tower. One of 3 lists what is popular; one of 16 ranks better than its parent."""


class NoTimeForTower(Exception):
    """A tower that starts untrained would get too few passes: the text says how long enough of them would take."""


class Effort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The extent of an update.

    `rounds`: at most, each of one pass of the text part and `tower_passes` of the tower; after `patience` rounds that
    did not improve it ends. `replay`: the share of older pieces in each pass. `rate`: the factor of the full learning
    rate. `first_tower`: passes over all events for a tower that starts untrained, fewer where they would take more than
    half of `seconds`, but no fewer than `LEAST_FIRST_TOWER`; the rounds then leave it as it is. `list_epochs`: epochs
    on lists that were shown. `finish`: learn the held-out events too in the end, in one short round; no gate can judge
    the result by them then. No round or pass begins after `seconds`.
    """

    rounds: Annotated[int, Meta(ge=1, le=100)] = 2
    tower_passes: Annotated[int, Meta(ge=0, le=100)] = 6
    first_tower: Annotated[int, Meta(ge=1, le=1_000)] = 40
    replay: Annotated[float, Meta(ge=0, le=1)] = 1.0
    patience: Annotated[int, Meta(ge=1, le=100)] = 1
    rate: Annotated[float, Meta(gt=0, le=1)] = 1.0
    list_epochs: Annotated[int, Meta(ge=0, le=100)] = 0
    finish: bool = False
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 900.0


@dataclass(frozen=True, eq=False)
class Task:
    """What is learned: the events of `histories` from `since` on, and a sample of those before. Those from `begin` on
    are held out. `parent_known` bool [items] are the items with rows in the parent, which has a tower if
    `parent_tower`; `calibration` are its slope and offset. `shown` are lists of which something was not taken."""

    histories: Histories
    since: int
    begin: int
    parent_known: Bools
    parent_tower: bool
    calibration: tuple[float, float] = (1.0, 0.0)
    shown: Impressions = NO_IMPRESSIONS

    def fresh(self, cut: int) -> Bools:
        """The items with events from `since` up to `cut`, bool [items]."""
        found = np.zeros(len(self.histories.items), np.bool_)
        named = self.histories.item[self.since : cut]
        found[named[named != NO_ITEM]] = True
        return found


@dataclass(frozen=True, eq=False)
class Updated:
    """What came of an update: the rows that are learned, bool [items]; the validation loss after each round, in nats;
    the number of the round that was kept, from 0; whether lists were learned."""

    known: Bools
    held_out: HeldOut
    losses: list[float]
    kept: int
    calibration: Calibration | None
    lists: bool


class Update:
    """One update of `network`, which begins with the parameters of its parent (`item_rows.begin`).

    Deterministic for a seed on the same machine and number of threads, unless time runs out.
    """

    def __init__(
        self,
        network: ItemTokenNetwork,
        task: Task,
        kind: Kind,
        effort: Effort,
        *,
        text: Recipe,
        tower: Recipe,
        lists: ListRecipe,
        seed: int,
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        """`clock` returns seconds. Raises `NothingToLearn` if no like is held out, or if single rows are to be trained
        of a parent that has none."""
        self._network, self._task, self._kind, self._effort = network, task, kind, effort
        self._seed, self._clock, self._progress = seed, clock, progress
        self._lists = lists
        histories = task.histories
        self._tests = new_likes(histories, task.begin, len(histories))
        if not len(self._tests):
            raise NothingToLearn("no new like is held out to judge the version by; wait for more events")
        even = histories.history[self._tests] % 2 == 0
        self._chosen_on = even if even.any() else ~even
        self._end = clock() + effort.seconds
        self._parts: dict[str, tuple[Network, Recipe]] = {TEXT_PART: (network.text, text)}
        if network.tower is not None:
            self._parts = {TOWER_PART: (network.tower, tower), **self._parts}
        if kind == "items":
            if not task.parent_known.any():
                raise NothingToLearn("the parent has no parameters of single items; make a full version first")
            rows = rows_of(network, task.fresh(len(histories) if effort.finish else task.begin))
            self._parts = {
                label: (rows[label], msgspec.structs.replace(recipe, decay=0.0))
                for label, (_, recipe) in self._parts.items()
            }

    def run(self) -> Updated:
        """Train. The network holds the result. Raises `TrainingDiverged`, and `NoTimeForTower` within a pass."""
        network, task, effort = self._network, self._task, self._effort
        histories, heads = task.histories, network.heads
        heads.calibrate(1.0, 0.0)
        champion = judge(
            network if task.parent_tower else network.text, task.parent_known, histories, self._tests
        )  # its order does not depend on the calibration
        trainers = self._trainers(self._seed)
        if network.tower is not None and not task.parent_tower:
            self._first(trainers[TOWER_PART])
        known = self._known(task.begin)
        losses: list[float] = []
        kept = {name: value.clone() for name, value in network.module.state_dict().items()}
        while len(losses) < effort.rounds and len(losses) - _best(losses) <= effort.patience and not self._late(losses):
            self._round(trainers, len(losses), task.begin, task.since, effort.rounds)
            with averaged(trainers.values()):
                said = answers(network, known, histories, self._tests[self._chosen_on])
                losses.append(surprise(said, histories, self._tests[self._chosen_on]))
                if _best(losses) == len(losses) - 1:
                    kept = {name: value.detach().clone() for name, value in network.module.state_dict().items()}
        network.module.load_state_dict(kept)
        lists = self._kind == "full" and self._learn_lists(known)
        challenger = judge(network, known, histories, self._tests)
        held_out = HeldOut(histories, self._tests, self._chosen_on, champion, challenger)
        calibration = None
        if self._kind == "full":
            calibration = calibrated(answers(network, known, histories, self._tests), histories, self._tests)
        if effort.finish:
            trainers = self._trainers(self._seed + 1)
            self._round(trainers, 0, len(histories), task.begin, 1)
            network.module.load_state_dict(self._averages(trainers.values()))
            known = self._known(len(histories))
        heads.calibrate(*((calibration.slope, calibration.offset) if calibration is not None else task.calibration))
        return Updated(known, held_out, losses, _best(losses), calibration, lists)

    def _round(self, trainers: Mapping[str, Trainer], number: int, cut: int, since: int, rounds: int) -> None:
        """Train on the events before `cut`: all from `since` on and a sample of the others."""
        effort = self._effort
        trained = not self._task.parent_tower and cut == self._task.begin  # just now, on the same events
        passes = {TOWER_PART: 0 if trained else effort.tower_passes, TEXT_PART: 1}
        where = f"round {number + 1}" if cut == self._task.begin else "the newest events"
        for label, trainer in trainers.items():
            times = passes[label]
            for at in range(times):
                falls = falling(trainer.recipe, number * times + at, rounds * times)
                trainer.learn(
                    cut,
                    since=since,
                    again=effort.replay,
                    rate=lambda done, falls=falls: effort.rate * falls(done),  # type: ignore[misc]
                    report=epoch_report(self._progress, f"{where}, {label}", times, at),
                )

    def _first(self, tower: Trainer) -> None:
        """Train a tower that knows nothing, on all events. Raises `NoTimeForTower` if it would get too few passes."""
        task, seconds = self._task, self._effort.seconds
        began = self._clock()
        report = epoch_report(self._progress, "timing the tower", 1, 0)
        tower.learn(task.begin, share=TIMED_SHARE, rate=lambda done: 0.0, report=report)
        pass_seconds = max(self._clock() - began, 1e-9) / TIMED_SHARE
        fit = int(FIRST_TOWER_SHARE * seconds / pass_seconds)
        if fit < min(self._effort.first_tower, LEAST_FIRST_TOWER):
            least = LEAST_FIRST_TOWER * pass_seconds / FIRST_TOWER_SHARE
            raise NoTimeForTower(f"a tower over item ids would take {least:,.0f} s here")
        # Rates must have fallen by the end: a schedule that is cut off leaves a worse tower.
        count = min(self._effort.first_tower, fit)
        for at in range(count):
            if self._late([0.0]):
                break
            report = epoch_report(self._progress, "training the tower", count, at)
            tower.learn(task.begin, rate=falling(tower.recipe, at, count), report=report)

    def _learn_lists(self, known: Bools) -> bool:
        """Learn from lists that were shown; undone where they make the order of shortlists worse."""
        task, network = self._task, self._network
        if not self._effort.list_epochs or not len(task.shown):
            return False
        asked = self._tests[self._chosen_on][:JUDGED_LISTS]

        def quality() -> float:
            said = answers(network, known, task.histories, asked)
            shortlists = best(said, task.histories, asked, SHORTLIST)
            return figures(reranked(network, known, task.histories, asked, shortlists)).ndcg

        kept, before = {name: value.clone() for name, value in network.module.state_dict().items()}, quality()
        trainer = ListTrainer(network, task.histories, self._lists, self._seed, task.shown)
        for at in range(self._effort.list_epochs):
            report = epoch_report(self._progress, "training on lists", self._effort.list_epochs, at)
            trainer.learn(task.begin, known, since=task.since, report=report)
        if quality() >= before:
            return True
        network.module.load_state_dict(kept)
        return False

    def _trainers(self, seed: int) -> dict[str, Trainer]:
        histories = self._task.histories
        return {label: Trainer(part, histories, recipe, seed) for label, (part, recipe) in self._parts.items()}

    def _known(self, cut: int) -> Bools:
        """The items whose rows are learned from the first `cut` events."""
        if self._kind == "items":
            return self._task.parent_known | self._task.fresh(cut)
        return self._task.parent_known | self._task.histories.met(cut)

    def _late(self, losses: list[float]) -> bool:
        """Whether time ran out. The first round runs in any case."""
        return bool(losses) and self._clock() >= self._end

    def _averages(self, trainers: Iterable[Trainer]) -> dict[str, Tensor]:
        with averaged(trainers):
            return {name: value.detach().clone() for name, value in self._network.module.state_dict().items()}


def _best(losses: list[float]) -> int:
    """The number of the round with the lowest loss, from 0; -1 before the first."""
    return min(range(len(losses)), key=losses.__getitem__, default=-1)
