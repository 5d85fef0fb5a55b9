"""What versions are trained on: the records of the training log as a time-ordered stream of events, weights and lists.

A reaction to a list is in the log twice: as an event, and as feedback, which knows with which probability its item was
shown. It is learned once, with the weight of the feedback (`inference.training.feedback`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.datasets.dataset import Dataset
from inference.training.feedback import Untaken, erased_until, reactions
from inference.versions.store import Learned
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.items import Item
from schemas.privacy import ErasureReceipt


@dataclass(frozen=True)
class Evidence:
    """What users did: events, their weights by event id (1 for others), and the lists with entries that were not taken.

    `dataset.note` counts each. `learned` are the ranges of the log that it was read from, if from the log.
    """

    dataset: Dataset
    weights: Mapping[str, float]
    untaken: Sequence[Untaken]
    learned: tuple[Learned, ...] = ()


def evidence_of(
    events: Iterable[Event],
    feedback: Iterable[Feedback],
    items: Iterable[Item],
    receipts: Iterable[ErasureReceipt] = (),
    *,
    learned: tuple[Learned, ...] = (),
    most: int | None = None,
) -> Evidence:
    """The evidence in the records of a log: repeats count once, by id. Of items with the same id the last one counts.

    Left out, and counted in the note: events on items outside the catalogue, and what users did up to the time of
    their erasure. With `most`, only the newest events are used. Holds about 1 KiB per event in memory.
    """
    catalogue = {item.id: item for item in items}
    since = erased_until(receipts)
    told = reactions(feedback, since)
    known: dict[str, Event] = {}
    repeats = erased = unknown = without = 0
    for event in (*told.events, *events):
        if event.item is None:
            without += 1
        elif event.ts <= since.get(event.user, -1):
            erased += 1
        elif event.item not in catalogue:
            unknown += 1
        else:
            repeats += event.id in known
            known[event.id] = event  # the event itself says more than feedback does of it
    kept = sorted(known.values(), key=lambda event: event.ts)
    older = 0 if most is None else max(0, len(kept) - most)
    kept = kept[older:]
    note = (
        f"{len(kept):,} events of {len(catalogue):,} items and {len(told.untaken):,} lists with entries that were not "
        f"taken; left out: {repeats:,} repeats, {without:,} events without an item, {unknown:,} on items outside the "
        f"catalogue, {erased + told.erased:,} records of erased users, {older:,} older events"
    )
    weights = {name: value for name, value in told.weights.items() if name in known}
    return Evidence(Dataset(tuple(catalogue.values()), tuple(kept), note), weights, told.untaken, learned)
