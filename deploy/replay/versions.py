"""Which version of the model serves, which one is tried against it, and how the two compare. Pure.

Filled from the records of `ouzel.models` and `ouzel.comparisons` (`deploy.replay.versions_watch`). The interval is
anytime-valid (`inference.versions.confidence`), as the one that decides: it may be looked at after every like.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from inference.versions.confidence import Bounds, Confidence
from schemas.models import Comparison, Lineup, ModelStatus, Role

MAX_SEEN = 10_000
"""Comparisons whose ids are held, to count a repeat once."""

ALPHA = 0.05


@dataclass
class Versions:
    """The versions as the topics tell of them. `made` counts the versions that were named. Of the challengers,
    `promoted` became champion and `withdrawn` were retired; `rolled_back` counts returns to an earlier champion.

    `pairs` are the compared likes since the challenger took its present step, shadow or canary, and the watch began;
    `hits` of them, by side.
    """

    lineup: Lineup = field(default_factory=Lineup)
    made: int = 0
    promoted: int = 0
    withdrawn: int = 0
    rolled_back: int = 0
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
        reason = f": {status.reason}" if status.reason else ""
        if role is Role.CHAMPION:
            if champion is not None and champion.version != status.version:
                again = status.version in self._champions
                self.rolled_back += again
                self.promoted += not again
                self.verdict = f"version {status.number} {'is live again' if again else 'promoted'}{reason}"
            self._champions.add(status.version)
            self._begin()
        elif role is Role.RETIRED:
            if challenger is not None and challenger.version == status.version:
                self.withdrawn += 1
                self.verdict = f"version {status.number} withdrawn{reason}"
                self._begin()
        elif challenger is None or (challenger.version, challenger.role) != (status.version, status.role):
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


def live(versions: Versions) -> str:
    """The version that serves, and what became of those made so far."""
    champion = versions.lineup.champion
    serves = "the first version" if champion is None else f"version {champion.number}"  # no record has named it
    counts = {"promoted": versions.promoted, "withdrawn": versions.withdrawn, "rolled back": versions.rolled_back}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return serves + (f" ({told})" if told else "")


def tried(versions: Versions) -> str:
    """The challenger with its step."""
    challenger = versions.lineup.challenger
    if challenger is None:
        return "no version is tried"
    if challenger.role == Role.CANARY:
        return f"version {challenger.number}, canary for {challenger.share:.0%}"
    return f"version {challenger.number}, shadow"


def compared(versions: Versions) -> str:
    """How the challenger compares so far; empty without one."""
    if versions.lineup.challenger is None:
        return ""
    if not versions.pairs:
        return "no like compared yet"
    low, high = versions.bounds
    return f"{versions.difference:+.3f} ({low:+.3f} to {high:+.3f}) in {versions.pairs:,} likes"


def last_verdict(versions: Versions) -> str:
    return versions.verdict or "no verdict yet"
