"""`ouzel train`: train an adapter from events and items; see `docs/guide/training.md`."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import IO, Protocol

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from deploy.datasets.dataset import Dataset, feeling
from deploy.errors import BadSource
from deploy.files.item_files import items as read_items
from deploy.files.lines import chunks, lines
from deploy.files.sources import ItemColumns, Tally
from deploy.learning.evidence import Evidence
from deploy.learning.start import folder_of
from inference.errors import WeightsError
from inference.evaluation.training_plot import curves
from inference.item_tokens.adapter import Adapter, Cut, load, save
from inference.item_tokens.learned import Learned, digests, extended, seen_until, sketch
from inference.progress import Progress, silent
from inference.training.card import About, card, numbers
from inference.training.checkpoint import Checkpoints
from inference.training.feedback import Untaken, erased, read
from inference.training.histories import Histories, owners
from inference.training.impressions import Impressions
from inference.training.lists import ListRecipe
from inference.training.network import ItemTokenNetwork
from inference.training.schedule import Course, Done, Plan, Trained
from inference.training.trainer import Recipe
from schemas.items import Item
from schemas.scoring import Candidate
from schemas.shown import shown_in_line
from streams.items.catalogue import Catalogue

MOVIELENS_TERMS = (
    "MovieLens-100K (Harper and Konstan, 2015) may be used for research and must not be redistributed; none of it is "
    "in this folder"
)
OWN_TERMS = "as set by the owner of the data"


class Base(Protocol):
    """The base language model (`inference.training.learner.Base`)."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def chosen(self) -> object: ...

    @property
    def depths(self) -> Sequence[int]: ...

    def readings(self, items: Sequence[Candidate], count: int, seed: int, progress: Progress) -> NDArray[np.float32]:
        """Readings of `count` variants of each item's text, the text itself first: [count, items, 2, hidden]."""

    def network(
        self,
        readings: NDArray[np.float32],
        *,
        layers: int,
        rank: int,
        residuals: bool,
        tower: int,
        forget: float,
        dropout: float,
        start: Adapter | None,
        items: Sequence[str],
    ) -> ItemTokenNetwork:
        """A network to train, initialised from torch's random state."""


@dataclass(frozen=True)
class Options:
    """Options of a training. `until`: the share of the stream that may be learned; the rest is never used. `start`: an
    adapter to continue from, by name or folder, whose sizes are kept. `variants`: texts per item, all but one of them
    augmented. `residuals`: also learn parameters of single items; `tower`: the width of the tower over item ids."""

    out: Path
    until: float = 0.8
    limit: int | None = None
    layers: int = 2
    rank: int = 16
    residuals: bool = False
    tower: int = 64
    variants: int = 4
    forget: float = 0.1
    dropout: float = 0.2
    start: str | None = None
    seed: int = 0
    resume: bool = False
    recipe: Recipe = field(default_factory=Recipe)
    plan: Plan = field(default_factory=Plan)
    lists: ListRecipe = field(default_factory=ListRecipe)

    @property
    def checkpoints(self) -> Path:
        return self.out.with_name(f"{self.out.name}.training")


def train(
    dataset: Dataset,
    options: Options,
    base: Base,
    *,
    weights: Mapping[str, float] | None = None,
    untaken: Sequence[Untaken] = (),
    terms: str = OWN_TERMS,
    progress: Progress = silent,
) -> tuple[Adapter, Trained]:
    """Train on the first `until` of the events and write the adapter's folder. `weights` are the weights of events, by
    event id. Of the lists in `untaken`, those that closed within that part are used.

    Checkpoints are stored next to the folder until it is written. Raises `NothingToLearn`, `TrainingDiverged`,
    `CheckpointError`, `WeightsError`.
    """
    stream = dataset.stream(options.seed, options.limit)
    ids = [item.id for item in dataset.items]
    counted = None if weights is None else [weights.get(event.id, 1.0) for event in stream]
    histories = Histories.of(stream, ids, feeling, counted)
    cut = histories.before(int(len(histories) * options.until))
    histories = histories.first(cut)  # drops later events, so they cannot leak
    shown = Impressions.of(untaken, histories, owners(stream))
    start = None if options.start is None else load(folder_of(options.start))
    since = _since(start, histories, dataset)
    if start is not None:
        options = replace(options, layers=start.shape.layers, rank=start.shape.rank)
    readings = base.readings(texts(dataset.items), options.variants, options.seed, progress)
    torch.manual_seed(options.seed)
    network = base.network(
        readings,
        layers=options.layers,
        rank=options.rank,
        residuals=options.residuals,
        tower=0 if since else options.tower,  # a new tower has not learned what `start` has
        forget=options.forget,
        dropout=options.dropout,
        start=start if since or start is None else replace(start, items=()),  # ids of other data mean other items
        items=ids,
    )
    checkpoints = Checkpoints(options.checkpoints, _mark(options, base, histories, shown), Done)
    course = Course(
        network,
        histories,
        cut=cut,
        since=since,
        recipe=options.recipe,
        plan=options.plan,
        lists=options.lists,
        shown=shown,
        seed=options.seed,
        checkpoints=checkpoints,
        progress=progress,
    )
    trained = course.run(resume=options.resume)
    # All learned events are at or before the last of these, and time advances after it.
    end = Cut(ts=int(histories.ts[-1]) + 1, share=cut / len(stream))
    source = Learned(data=name_of(dataset), until=end.ts, items=sketch((item.id, item.title) for item in dataset.items))
    adapter = network.adapter(
        base.name,
        ids,
        trained.known,
        depths=base.depths,
        cut=end,
        learned=extended(start.learned if start is not None else (), source),
        figures=numbers(trained),
    )
    about = About(
        base=base.name,
        data=dataset.note,
        terms=terms,
        first=int(histories.ts[0]),
        cut_ts=end.ts,
        share=end.share,
        users=len(np.unique(histories.history)),
        items=int(histories.met(cut).sum()),
        text_only=not options.residuals,
        settings={**_settings(options, base), "number format": base.chosen},
        started_from=f"{start.version}, which learned {since:,} of these events" if start is not None else "",
    )
    ndcgs = [one.ndcg for one in (trained.done.untrained, *(e.validation for e in trained.done.epochs)) if one]
    drawn = curves([e.loss for e in trained.done.epochs], ndcgs, trained.done.best, "Training in sequence")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, adapter, card(about, trained), drawn)
    shutil.rmtree(options.checkpoints, ignore_errors=True)
    return adapter, trained


def from_feedback(feedback: Path, items: Path, columns: ItemColumns, receipts: Path | None = None) -> Evidence:
    """Load users' reactions to their lists.

    `feedback` is the output of `ouzel read feedback`, `receipts` that of `ouzel read privacy-receipts`: events from
    before a user's erasure are left out. Raises `BadSource` if nothing is usable.
    """
    rows = Tally()
    held = {item.id: item for item in read_items(items, columns, rows)}
    since: dict[str, int] = {}
    if receipts is not None:
        with receipts.open("rb") as file:
            since = erased(_lines(file))
    with feedback.open("rb") as file:
        reactions = read(_lines(file), since)
    kept = tuple(event for event in reactions.events if event.item in held)
    if not kept:
        raise BadSource(
            f"no reaction in {feedback} is to an item of {items}: {reactions}. Write it with `ouzel read feedback`."
        )
    lost = len(reactions.events) - len(kept)
    note = f"{shown_in_line(feedback.name)}: {reactions}; {lost:,} on items that are not in the catalogue"
    dataset = Dataset(tuple(held.values()), kept, f"{note}; items: {rows}")
    return Evidence(dataset, reactions.weights, reactions.untaken)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file. Overlong lines are replaced by an invalid record."""
    return (b"?" if line is None else line for line in lines(chunks(file)))


def texts(items: Sequence[Item]) -> list[Candidate]:
    catalogue = Catalogue()
    for item in items:
        catalogue.add(item)
    return [catalogue.described(number) for number in range(len(items))]


def name_of(dataset: Dataset) -> str:
    """The name of the data in adapters and cards."""
    return dataset.note.split(";")[0][:200]


def _since(start: Adapter | None, histories: Histories, dataset: Dataset) -> int:
    """The number of events that an adapter has already learned: none if it learned from other data."""
    if start is None:
        return 0
    if start.learned:
        until = seen_until(start.learned, digests((item.id, item.title) for item in dataset.items))
        return 0 if until is None else int(np.searchsorted(histories.ts, until))
    if start.cut is None:
        raise WeightsError(
            "the adapter to continue from has no training cutoff; use one that was trained with `ouzel train`"
        )
    return int(np.searchsorted(histories.ts, start.cut.ts))


def _settings(options: Options, base: Base) -> dict[str, object]:
    plain = {
        name: value
        for name, value in asdict(options).items()
        if name not in {"out", "resume", "recipe", "plan", "lists", "start"}
    }
    parts = {name: msgspec.to_builtins(getattr(options, name)) for name in ("recipe", "plan", "lists")}
    found: dict[str, object] = {"weights": base.version, **plain}
    return found | {name: ", ".join(f"{key} {value}" for key, value in part.items()) for name, part in parts.items()}


def _mark(options: Options, base: Base, histories: Histories, shown: Impressions) -> str:
    """A digest of the data, options and weights, for checkpoints."""
    whole = blake2b(digest_size=16)
    whole.update(msgspec.json.encode({name: str(value) for name, value in _settings(options, base).items()}))
    whole.update(msgspec.json.encode([options.start, *histories.items]))
    for array in (histories.history, histories.item, histories.feeling, histories.ts, histories.weight):
        whole.update(array.tobytes())
    whole.update(shown.digest())
    return whole.hexdigest()
