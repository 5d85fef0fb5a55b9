"""Learning along a stream: versions are made from one another, and each is live some likes after its data ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deploy.datasets.dataset import Dataset
from deploy.learning.evidence import Evidence
from deploy.learning.versions import Options, Parent, make_version
from inference.errors import NothingToLearn
from inference.item_tokens.adapter import load
from inference.progress import Progress
from inference.training.histories import NO_ITEM, Histories
from inference.training.item_rows import begin, known_rows
from inference.training.learner import Base
from inference.training.walk_forward import Floats, Readings, read, width
from inference.versions.store import Version, VersionStore
from schemas.events import Event
from schemas.scoring import Candidate


class Turn(NamedTuple):
    """A version that learns the first `end` events, and is live from event `live` on."""

    options: Options
    end: int
    live: int


@dataclass(frozen=True)
class Schedule:
    """The likes between two versions of a kind (0: none are made), and the likes from the end of its data until
    it is live: `lag`, or `items_lag` for those of single items, which only the gates delay."""

    full: Options
    items: Options
    every: int
    items_every: int
    lag: int
    items_lag: int

    def turns(self, histories: Histories, cut: int) -> Iterator[Turn]:
        """The versions after the start model, which learned the first `cut` events. Where both kinds are due at once,
        the full one is made. Each starts from the last that is live by then."""
        liked = cut + np.flatnonzero(histories.feeling[cut:] > 0)
        step = self.items_every or self.every
        for count in range(step, len(liked), step):
            full = self.every and count // self.every > (count - step) // self.every
            options, lag = (self.full, self.lag) if full else (self.items, self.items_lag)
            end, after = histories.before(int(liked[count])), count + lag
            if after < len(liked):
                yield Turn(options, end, int(liked[after]))


def learn(
    base: Base,
    dataset: Dataset,
    stream: Sequence[Event],
    readings: Floats,
    histories: Histories,
    *,
    start: Path,
    cut: int,
    schedule: Schedule,
    store: VersionStore,
    progress: Progress,
) -> tuple[list[tuple[int, Path]], list[Version]]:
    """The adapters that are live, each from its place in the stream on, and the versions."""
    live = [(cut, Parent(1, start))]
    made: list[Version] = []
    for turn in schedule.turns(histories, cut):
        parent = [one for at, one in live if at <= turn.end][-1]
        known = Evidence(replace(dataset, events=tuple(stream[: turn.end])), {}, ())
        options = turn.options
        try:
            found = make_version(
                store, parent, known, base=base, complete=_name, options=options, progress=progress
            ).version
        except NothingToLearn as error:
            progress(f"no version: {error}", 0, 0)
            continue
        made.append(found)
        live.append((turn.live, Parent.of(store, found.number)))
        progress(
            f"version {found.number}, {found.kind} from {found.parent}: {found.events} events, "
            f"{found.cpu_seconds:.0f} CPU s, {found.seconds:.0f} s",
            turn.end,
            len(stream),
        )
    return [(at, one.adapter) for at, one in sorted(live, key=lambda one: one[0])], made


def along(base: Base, live: Sequence[tuple[int, Path]], readings: Floats, histories: Histories) -> Readings:
    """What adapters say before each event, each from its place in the stream to that of the next."""
    found: Readings | None = None
    for number, (at, folder) in enumerate(live):
        end = live[number + 1][0] if number + 1 < len(live) else len(histories)
        adapter = load(folder)
        known = known_rows(histories.items, adapter.items)
        network = base.network(
            readings, layers=adapter.shape.layers, rank=adapter.shape.rank, residuals=True, tower=0, forget=0.0,
            dropout=0.0, start=adapter, items=histories.items,
        )  # fmt: skip
        assert network.residuals is not None
        begin(network.residuals, known, tower=True)
        if found is None:
            found = Readings.of(len(histories), width(network, len(histories.items)))
        wanted = np.zeros(len(histories), np.bool_)
        wanted[at:end] = histories.item[at:end] != NO_ITEM
        read(network, known, histories, wanted, found)
    assert found is not None
    return found


def _name(adapter: Path, items: Sequence[Candidate]) -> str:
    """Nothing is served here, so there are no vectors."""
    return f"benchmark-{load(adapter).version}"
