"""The champion's drift (`inference.versions.drift`), from the training log: one pass over the feedback on its lists.

Nothing is stored. After a restart, and after a promotion, the feedback since the champion began is read again, as far
as the log has it; then only what is new.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from deploy.errors import expected
from inference.versions.drift import UNKNOWN, Drift, Observed
from inference.versions.rules import Rules
from schemas.feedback import Feedback, Outcome
from schemas.items import Item
from schemas.models import ModelStatus
from schemas.topics import FEEDBACK
from streams.training_log.log_files import day_of
from streams.training_log.reading import Days, LogReader


@dataclass
class LogDrift:
    """Implements `deploy.learning.ports.Watch`. `catalogue` is read once for each champion, about 200 bytes an item;
    without it, attributes are left out, and `tell` gets why."""

    root: str
    catalogue: Callable[[], Awaitable[Iterable[Item]]]
    tell: Callable[[str], None]
    _drift: Drift | None = None
    _since: int = 0
    _behind: dict[int, int] = field(default_factory=dict)
    _attributes: Mapping[str, tuple[str, ...]] | None = None

    async def drift(self, champion: ModelStatus, rules: Rules) -> Drift:
        """The drift of the champion up to the end of the log. Raises `LogFailed`."""
        if self._drift is None or (self._drift.champion, self._since) != (champion.version, champion.ts):
            self._attributes = await self._read_attributes()
            self._drift, self._since, self._behind = Drift.of(champion.version, rules), champion.ts, {}
        await asyncio.to_thread(self._read, self._drift, rules)
        return self._drift

    async def _read_attributes(self) -> Mapping[str, tuple[str, ...]] | None:
        try:
            return {item.id: item.attributes for item in await self.catalogue()}
        except Exception as error:
            reason = expected(error)
            if reason is None:
                raise
            self.tell(f"the drift of item attributes is not measured: {reason}")
            return None

    def _read(self, drift: Drift, rules: Rules) -> None:
        reading = LogReader(self.root).read(
            FEEDBACK.name, Feedback, days=Days(day_of(self._since), date.max), after=self._behind
        )
        try:
            for row in reading.rows():
                self._behind[row.partition] = row.offset + 1
                if row.message.shown and row.message.model_version == drift.champion and row.logged >= self._since:
                    drift.add(observed(row.message, self._attributes), rules)
        finally:
            for found in reading.ranges:
                self._behind[found.partition] = max(self._behind.get(found.partition, 0), found.behind)


def observed(feedback: Feedback, attributes: Mapping[str, tuple[str, ...]] | None) -> Observed:
    """What the first feedback of a list says of it. `attributes` are those of the items by id; None if not known."""
    taken = feedback.outcome is Outcome.TAKEN and feedback.reward > 0
    of_item = None
    if taken and attributes is not None and feedback.item is not None:
        of_item = attributes.get(feedback.item, (UNKNOWN,))
    ts = feedback.ts - int(feedback.delay_ms or 0)
    return Observed(taken, ts, feedback.chance, feedback.history, of_item)
