"""What became of the versions that were tried, and how the present one compares with the champion. Pure.

Filled from the records of `ouzel.models` and from comparisons: all of `ouzel.comparisons` where a terminal follows the
topic, a worker's own for its page. The interval is anytime-valid (`schemas.confidence`), as the one that decides: it
may be looked at after every like.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemas.confidence import Bounds, Confidence
from schemas.models import Comparison, Lineup, ModelStatus, Role

MAX_SEEN = 10_000
"""Comparisons whose ids are held, to count a repeat once: 1 MB."""

ALPHA = 0.05


@dataclass
class Trials:
    """The versions as the topics tell of them. `made` counts the versions that were named. Of the challengers,
    `promoted` became champion and `withdrawn` were retired; `rolled_back` counts returns to an earlier champion.
    `trained` is the record of the version that is at its gates; `ended` that of the last one that did not become
    champion, None from the next promotion on.

    `pairs` are the compared likes since the challenger took its present step, shadow or canary, and the watch began;
    `hits` of them, by side.
    """

    lineup: Lineup = field(default_factory=Lineup)
    made: int = 0
    promoted: int = 0
    withdrawn: int = 0
    rolled_back: int = 0
    trained: ModelStatus | None = None
    ended: ModelStatus | None = None
    hits: Counter[str] = field(default_factory=Counter)
    verdict: str = ""
    _confidence: Confidence = field(default_factory=lambda: Confidence(-1.0, 1.0, ALPHA))
    _named: set[str] = field(default_factory=set)
    _champions: set[str] = field(default_factory=set)
    _seen: dict[str, None] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether any record named a version."""
        return bool(self._named)

    @property
    def pairs(self) -> int:
        return self._confidence.count

    @property
    def difference(self) -> float:
        """The challenger's hit ratio minus the champion's."""
        return self._confidence.mean if self.pairs else 0.0

    @property
    def bounds(self) -> Bounds:
        """The interval of the difference."""
        return self._confidence.bounds if self.pairs else Bounds(-1.0, 1.0)

    def take_status(self, status: ModelStatus) -> None:
        """Take in a record of `ouzel.models`, in the order of the topic."""
        champion, challenger = self.lineup.champion, self.lineup.challenger
        role = self.lineup.take(status)
        if role is None:
            return
        if status.version not in self._named:
            self._named.add(status.version)
            self.made += 1
        at_gates = self.trained is not None and self.trained.version == status.version
        if at_gates or role is Role.MADE:
            self.trained = status if role is Role.MADE else None
        reason = f": {status.reason}" if status.reason else ""
        if role is Role.CHAMPION:
            if champion is not None and champion.version != status.version:
                again = status.version in self._champions
                self.rolled_back += again
                self.promoted += not again
                self.verdict = f"version {status.number} {'is live again' if again else 'promoted'}{reason}"
            self._champions.add(status.version)
            self.ended = None
            self._begin()
        elif role is Role.RETIRED:
            # A compacted topic has only the last record of each version: one above the champion was tried after it.
            if status.version not in self._champions and (champion is None or status.number > champion.number):
                self.ended = status
            if challenger is not None and challenger.version == status.version:
                self.withdrawn += 1
                self.verdict = f"version {status.number} withdrawn{reason}"
                self._begin()
            elif at_gates:
                self.verdict = f"version {status.number} failed{reason}"
        elif role is not Role.MADE:
            before = None if challenger is None else (challenger.version, challenger.role)
            if before != (status.version, status.role):
                self._begin()

    def take_comparison(self, one: Comparison) -> None:
        """Take in a record of `ouzel.comparisons`. One of other versions than the present ones changes nothing."""
        champion, challenger = self.lineup.champion, self.lineup.challenger
        ours = challenger is not None and one.challenger == challenger.version
        if not ours or (champion is not None and one.champion != champion.version) or one.id in self._seen:
            return
        self._seen[one.id] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        self.hits["champion"] += one.champion_hit
        self.hits["challenger"] += one.challenger_hit
        self._confidence.add(float(one.challenger_hit) - float(one.champion_hit))

    def figures(self) -> dict[str, Any]:
        """The counts and the present comparison, for JSON."""
        champion, challenger = self.lineup.champion, self.lineup.challenger
        return {
            "live": None if champion is None else champion.number,
            "tried": None if challenger is None else challenger.number,
            "made": self.made,
            "promoted": self.promoted,
            "withdrawn": self.withdrawn,
            "rolled_back": self.rolled_back,
            "pairs": self.pairs,
            "difference": self.difference if self.pairs else None,
            "low": self.bounds.low if self.pairs else None,
            "high": self.bounds.high if self.pairs else None,
            "verdict": self.verdict,
        }

    def _begin(self) -> None:
        """A new comparison begins."""
        self._confidence = Confidence(-1.0, 1.0, ALPHA)
        self.hits.clear()
