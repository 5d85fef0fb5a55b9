"""The current conditions by finder, for the log, `/readyz` and the metrics."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streams.health.conditions import Condition

log = logging.getLogger(__name__)

AGAIN_SECONDS = 300.0
"""Between two log lines about a lasting condition."""

SETTLED_SECONDS = 10.0
"""How long a condition must be gone to count as resolved; one that comes and goes is reported once."""

ALONE = ("disk", "codec", "other")
"""Causes that concern one partition. The others concern the topic and are reported once for all partitions."""

SURVEY = "survey"
"""The finder that sees all topics and rights, and so reports best what is missing."""

Key = tuple[str, str, str, int | None]
"""Finder, cause, topic and partition."""

Subject = tuple[str, str, int | None, bool]
"""The subject of a log line: cause, topic, partition where it matters, and whether the survey found it."""


@dataclass
class _Entry:
    condition: Condition
    since: float
    gone: float | None = None


class Board:
    """Logs each condition when it begins, repeatedly while it lasts, and when it is over.

    `found` replaces the conditions of one finder. A condition is identified by finder, cause, topic and partition; its
    text may change. `monotonic` is a clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._entries: dict[Key, _Entry] = {}
        self._told: dict[Subject, float] = {}

    def found(self, finder: str, conditions: Iterable[Condition]) -> None:
        now = self._monotonic()
        holding = {(finder, each.cause, each.topic, each.partition): each for each in conditions}
        for key, condition in holding.items():
            entry = self._entries.setdefault(key, _Entry(condition, now))
            entry.condition, entry.gone = condition, None
            self._tell(key, entry, now)
        for key, entry in self._entries.items():
            if key[0] == finder and key not in holding and entry.gone is None:
                entry.gone = now
        self._settle(now)

    def forget(self, finder: str) -> None:
        """Drop all conditions of this finder."""
        for key in [key for key in self._entries if key[0] == finder]:
            del self._entries[key]

    def current(self) -> list[Condition]:
        """The current conditions, each cause and topic once."""
        self._settle(self._monotonic())
        held: dict[tuple[str, str], Condition] = {}
        for _, entry in sorted(self._entries.items(), key=lambda item: item[0][0] != SURVEY):
            if entry.gone is None:
                held.setdefault((entry.condition.cause, entry.condition.topic), entry.condition)
        return list(held.values())

    def counts(self) -> dict[tuple[str, str], int]:
        """The number of conditions by topic and cause, including those not settled as resolved yet."""
        counts: dict[tuple[str, str], int] = {}
        self._settle(self._monotonic())
        for entry in self._entries.values():
            key = (entry.condition.topic, entry.condition.cause)
            counts[key] = counts.get(key, 0) + 1
        return counts

    def _tell(self, key: Key, entry: _Entry, now: float) -> None:
        subject = _subject(key)
        if (*subject[:-1], True) in self._told and not subject[-1]:
            return  # the survey has reported it
        told = self._told.get(subject)
        if told is None:
            log.error("%s", entry.condition.text)
        elif now - told >= AGAIN_SECONDS:
            log.error("Since %.0f s: %s", now - entry.since, entry.condition.text)
        else:
            return
        self._told[subject] = now

    def _settle(self, now: float) -> None:
        for key, entry in list(self._entries.items()):
            if entry.gone is not None and now - entry.gone >= SETTLED_SECONDS:
                del self._entries[key]
        open_now = set(map(_subject, self._entries))
        for subject in [each for each in self._told if each not in open_now]:
            del self._told[subject]
            cause, topic, partition, _ = subject
            where = "" if partition is None else f", partition {partition}"
            log.info("Resolved: %s%s%s", cause, f" of {topic}" if topic else "", where)


def _subject(key: Key) -> Subject:
    finder, cause, topic, partition = key
    return cause, topic, partition if cause in ALONE else None, finder == SURVEY
