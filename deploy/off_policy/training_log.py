"""The lists of the training log, with the events that came before them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np

from deploy.errors import BadSource
from deploy.files.item_files import items as read_items
from deploy.files.sources import USUAL_ITEM_COLUMNS, Tally
from deploy.learning.evidence import Evidence, evidence_of
from deploy.off_policy.decision_log import DecisionLog
from inference.off_policy.logs import LoggedList, arrays, joined
from inference.off_policy.terms import Floats
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.items import Item
from schemas.topics import EVENTS, FEEDBACK
from streams.training_log.reading import Days, LogReader


@dataclass(frozen=True)
class Logged:
    """A `log`, its `lists` in the same order, and the `events` of the users in the order of time. Items are numbered as
    in `items`; `log.names` has those of lists outside the catalogue behind them."""

    log: DecisionLog
    lists: Sequence[LoggedList]
    events: Sequence[Event]
    items: Sequence[Item]


def catalogue_of(path: Path) -> tuple[Item, ...]:
    """The items of a file. Raises `BadSource`."""
    tally = Tally()
    found = {item.id: item for item in read_items(path, USUAL_ITEM_COLUMNS, tally)}
    if not found:
        raise BadSource(f"no row of {path} can be used ({tally}). See how it is read: `ouzel inspect-file {path}`.")
    return tuple(found.values())


def read_training_log(
    root: str, items: Sequence[Item], *, today: date, days: int, newest: int, places: int, window_ms: int
) -> Logged:
    """The newest lists of the log, at most `newest`, with the first `places` of each, and all events of these days.

    Left out are lists from before these days, whose feedback is here only in part, and those whose window may still be
    open at the end of the log: what they earn is not known yet. Raises `LogFailed`, `BadSource` if no list can be used.
    """
    reader, span = LogReader(root), Days.newest(days, today)
    feedback = list(reader.read(FEEDBACK.name, Feedback, days=span))
    events = list(reader.read(EVENTS.name, Event, days=span))
    evidence: Evidence = evidence_of(events, feedback, items)
    found = joined(feedback)
    end = max([one.ts for one in feedback] + [one.ts for one in events], default=0)
    begin = int(datetime.combine(span.first, time(), UTC).timestamp() * 1000)
    closed = [one for one in found.lists if begin <= one.published <= end - window_ms]
    lists = closed[-newest:]
    if not lists:
        raise BadSource(
            f"the training log {root} has no list of the last {days} days whose outcome is known ({found}). Check "
            "--log, --days and --window, and that `ouzel log` runs."
        )
    numbers = {item.id: number for number, item in enumerate(items)}
    for one in lists:
        for entry in one.entries:
            numbers.setdefault(entry.item, len(numbers))
    made, shown = arrays(lists, numbers, places)
    note = (
        f"{found}, {len(found.lists) - len(closed):,} from before these days or whose outcome is not "
        f"known yet, {len(closed) - len(lists):,} older ones; {evidence.dataset.note}"
    )
    positions = np.where(shown >= 0, np.arange(places)[None], -1)
    log = DecisionLog(made, shown, positions, tuple(numbers), tuple(one.name for one in lists), note)
    return Logged(log, lists, evidence.dataset.stream(0), tuple(items))


def with_rewards(of: Logged, rewards: Floats) -> Logged:
    """The same lists with other rewards, float64 [L, K]."""
    return replace(of, log=replace(of.log, lists=replace(of.log.lists, rewards=rewards)))
