"""Make a version of the model from the active one: train it on the newest evidence, and write it into the store.

The store has the version complete or not at all. A training that is killed leaves nothing but an unfinished folder,
which `VersionStore.clear_unfinished` deletes; the next one starts over, since it takes seconds to minutes.
"""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
import torch
from msgspec import Meta

from deploy.datasets.dataset import feeling, likes
from deploy.learning.adapter import Base, texts
from deploy.learning.evidence import Evidence
from deploy.local.priority import NICENESS, lower_priority
from inference.errors import NothingToLearn
from inference.item_tokens.adapter import Adapter, Cut, load, save
from inference.item_tokens.learned import Learned, extended, sketch
from inference.progress import Progress, silent
from inference.training.held_out import HeldOut
from inference.training.histories import Histories, owners
from inference.training.impressions import Impressions
from inference.training.item_rows import begin, known_rows
from inference.training.lists import ListRecipe
from inference.training.network import ItemTokenNetwork
from inference.training.schedule import TOWER
from inference.training.trainer import Recipe
from inference.training.update import Effort, NoTimeForTower, Task, Update, Updated
from inference.training.validation import new_likes
from inference.versions.gates.trained_order import TrainedOrder
from inference.versions.store import RECORD, Kind, Version, VersionStore
from schemas.scoring import Candidate

ADAPTER = "adapter"
DATA = "the training log"
_NEXT = "lower least_likes or least_tests, or wait for more events"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a version is made.

    `kind`: "full" trains everything, "items" the rows of items with new events alone. `held_out`: the share of the new
    events, the newest, that judges the version. At most `most_new` events count as new, and each pass replays about
    `most_replayed` older ones at most. `least_likes` new likes to learn and `least_tests` held out are required.
    `tower`: the width of the tower that a full version adds to a parent without one, if there is time to train it.
    `variants`: texts per item. `niceness` of the process: above that of workers, which must not wait for a training.
    """

    kind: Kind = "full"
    effort: Effort = Effort()
    text: Recipe = Recipe(later_rate=1.0)
    towers: Recipe = TOWER
    lists: ListRecipe = ListRecipe(count=256, untaken=256)
    held_out: Annotated[float, Meta(gt=0, le=0.5)] = 0.2
    most_new: Annotated[int, Meta(ge=100, le=1_000_000)] = 50_000
    most_replayed: Annotated[int, Meta(ge=0, le=1_000_000)] = 50_000
    least_likes: Annotated[int, Meta(ge=1)] = 100
    least_tests: Annotated[int, Meta(ge=1)] = 30
    tower: Annotated[int, Meta(ge=1, le=1_024)] = 64
    variants: Annotated[int, Meta(ge=1, le=64)] = 1
    forget: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2
    niceness: Annotated[int, Meta(ge=0, le=19)] = NICENESS


FULL = Options()
ITEMS = Options(kind="items")


@dataclass(frozen=True)
class Parent:
    """The version to start from: its number, and the folder of its adapter."""

    number: int
    adapter: Path

    @classmethod
    def of(cls, store: VersionStore, number: int) -> "Parent":
        return cls(number, store.folder(number) / ADAPTER)


class Completion(Protocol):
    """Completes a version's adapter folder with what serving needs: the tokens and vectors of all `items`."""

    def __call__(self, adapter: Path, items: Sequence[Candidate]) -> str:
        """Returns the name that the version reports with scores (`Scores.model_version`)."""


def _now_ms() -> int:
    return int(time.time() * 1000)


def _peak_mib() -> float:
    """The most memory that this process has had resident so far."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found / (2**20 if sys.platform == "darwin" else 2**10)


@dataclass(frozen=True)
class Meters:
    """Clocks and the use of this machine by this process: milliseconds since 1970, seconds, CPU seconds, peak MiB."""

    now_ms: Callable[[], int] = _now_ms
    seconds: Callable[[], float] = time.monotonic
    cpu_seconds: Callable[[], float] = time.process_time
    peak_mib: Callable[[], float] = _peak_mib


THIS_PROCESS = Meters()


@dataclass(frozen=True, eq=False)
class Made:
    """A version in the store, and what the gates judge it by."""

    version: Version
    held_out: HeldOut
    losses: list[float]


def make_version(
    store: VersionStore,
    parent: Parent,
    evidence: Evidence,
    *,
    base: Base,
    complete: Completion,
    options: Options = FULL,
    number: int | None = None,
    seed: int = 0,
    meters: Meters = THIS_PROCESS,
    progress: Progress = silent,
) -> Made:
    """Train a version and write it into `store` as `number`, or the next one.

    `evidence` is all that may be learned from; what is new in it begins where the parent's cut is. Likes after the
    `cut_ms` of the version are unlearned: gates may judge it by them.

    Run it in a separate process: it lowers the process's priority, and sets torch's threads and random state. Raises
    `NothingToLearn` with the reason, `TrainingDiverged`, `WeightsError`.
    """
    began, cpu = meters.seconds(), meters.cpu_seconds()
    lower_priority(options.niceness)
    start = load(parent.adapter)
    stream = evidence.dataset.events  # in order of time; those of one time as they were logged, and served
    ids = [item.id for item in evidence.dataset.items]
    histories = Histories.of(stream, ids, feeling, [evidence.weights.get(event.id, 1.0) for event in stream])
    since, split = _window(start, histories, options)
    described = texts(evidence.dataset.items)
    task = Task(
        histories=histories,
        since=since,
        begin=split,
        parent_known=known_rows(ids, start.items),
        parent_tower=bool(start.shape.tower),
        calibration=(float(start.heads.slope), float(start.heads.offset)),
        shown=Impressions.of(evidence.untaken, histories, owners(stream)),
    )
    readings = base.readings(described, options.variants, seed, progress)
    effort = msgspec.structs.replace(
        options.effort, replay=min(options.effort.replay, options.most_replayed / max(1, since))
    )

    def train(tower: int, seconds: float) -> tuple[ItemTokenNetwork, Updated]:
        torch.manual_seed(seed)
        network = base.network(
            readings,
            layers=start.shape.layers,
            rank=start.shape.rank,
            residuals=True,
            tower=tower,
            forget=options.forget,
            dropout=options.dropout,
            start=start,
            items=ids,
        )
        assert network.residuals is not None
        begin(network.residuals, task.parent_known, tower=task.parent_tower)
        update = Update(
            network,
            task,
            options.kind,
            msgspec.structs.replace(effort, seconds=seconds),
            text=options.text,
            tower=options.towers,
            lists=options.lists,
            seed=seed,
            clock=meters.seconds,
            progress=progress,
        )
        return network, update.run()

    why_no_tower = ""
    training = meters.seconds()
    try:
        network, updated = train(options.tower if options.kind == "full" else 0, effort.seconds)
    except NoTimeForTower as error:
        why_no_tower = str(error)
        progress(f"{why_no_tower}: left out", 0, 0)
        network, updated = train(0, max(0.0, effort.seconds - (meters.seconds() - training)))
    end = len(histories) if options.effort.finish else split
    # All learned events are before this time, and the next version learns those from it on.
    cut = Cut(ts=int(histories.ts[end - 1]) + 1, share=end / len(histories))
    number = store.next_number() if number is None else number
    source = Learned(
        data=DATA,
        until=cut.ts,
        items=sketch((item.id, item.title) for item in evidence.dataset.items),
    )
    with store.written(number) as folder:
        adapter = network.adapter(
            base.name,
            ids,
            updated.known,
            depths=base.depths,
            cut=cut,
            learned=extended(start.learned, source),
            figures=_figures(updated),
        )
        save(folder / ADAPTER, adapter, _card(parent, options, evidence, updated, why_no_tower))
        if not options.effort.finish:  # else the network has changed since
            held = updated.held_out
            TrainedOrder.of(held.challenger, histories, held.tests).write(folder)
        progress("writing vectors", 0, 0)
        name = complete(folder / ADAPTER, described)
        version = Version(
            number=number,
            name=name,
            parent=parent.number,
            kind=options.kind,
            made_ms=meters.now_ms(),
            since_ms=int(histories.ts[since]),
            cut_ms=cut.ts - 1,
            events=end - since,
            likes=sum(map(likes, stream[since:end])),
            tests=len(updated.held_out.tests),
            learned=evidence.learned,
            seconds=round(meters.seconds() - began, 3),
            cpu_seconds=round(meters.cpu_seconds() - cpu, 3),
            peak_mib=round(meters.peak_mib(), 1),
        )
        (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(version), indent=2) + b"\n")
    return Made(version, updated.held_out, updated.losses)


def _window(start: Adapter, histories: Histories, options: Options) -> tuple[int, int]:
    """Where the new events begin, and where those that are held out begin. Raises `NothingToLearn`."""
    total = len(histories)
    learned = 0 if start.cut is None else int(np.searchsorted(histories.ts, start.cut.ts))
    since = histories.before(max(learned, total - options.most_new))
    split = histories.before(total - max(1, int((total - since) * options.held_out)))
    train, tests = len(new_likes(histories, since, split)), len(new_likes(histories, split, total))
    if train < options.least_likes or tests < options.least_tests:
        raise NothingToLearn(
            f"{total - since:,} events are newer than the active version, with {train:,} likes to learn and {tests:,} "
            f"to judge a version by; {options.least_likes:,} and {options.least_tests:,} are needed: {_NEXT}"
        )
    return since, split


def _figures(updated: Updated) -> dict[str, float]:
    found, held = {"rounds": float(len(updated.losses)), "loss": updated.losses[updated.kept]}, updated.held_out
    for name, judged in (("", held.challenger), ("_parent", held.champion)):
        found |= {f"hr10{name}": judged.figures.hr, f"ndcg10{name}": judged.figures.ndcg}
    if updated.calibration is not None:
        found |= {"calibration_error": updated.calibration.after}
    return found | {"tests": float(len(held.tests)), "lists_kept": float(updated.lists)}


def _card(parent: Parent, options: Options, evidence: Evidence, updated: Updated, why_no_tower: str) -> str:
    held = updated.held_out
    no_tower = f"- Without a tower: {why_no_tower}. Raise `--train-minutes` for one.\n" if why_no_tower else ""
    return (
        f"# A version of the adapter\n\n- Continues from version {parent.number}.\n"
        f"- Evidence: {evidence.dataset.note}.\n"
        f"- Trained: {'everything' if options.kind == 'full' else 'the rows of items with new events'}, "
        f"{len(updated.losses)} rounds, of which number {updated.kept + 1} was kept.\n"
        f"- The next {len(held.tests):,} likes: {held.challenger.figures}; its parent: {held.champion.figures}.\n"
        f"{no_tower}"
    )
