"""The figures of a run: hit ratios of each pass on the same likes, paired differences, and the course over time. Pure.

A row is one method's places by test, as `deploy.loop.judging` has them. HR@10 is the share of tests with the item among
the first ten; NDCG@10 weighs it by place. Intervals are of the mean over tests, resampled by user; a difference is
taken test by test, so that both sides are judged on the same events.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.loop.split import Split
from inference.evaluation.intervals import Interval, interval
from inference.evaluation.protocol import DEPTH

METRICS = ("hr10", "ndcg10")
PARTS = 20
"""Parts of the stream in the course over time."""

Row = Mapping[str, int]
Floats = NDArray[np.float64]


def last_third(split: Split, rows: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """Each method's figures on the tests of the last third, with their intervals."""
    return {name: _method(split, row) for name, row in rows.items()}


def against(split: Split, ours: Row, others: Mapping[str, Row]) -> dict[str, dict[str, Any]]:
    """By other method: our lead on the same tests of the last third, with its interval. `low`, `high` and `mean` are of
    HR@10."""
    found = {}
    for name, other in others.items():
        both = [at for at in split.judged if split.events[at].id in ours and split.events[at].id in other]
        people = _people(split, both)
        leads = {metric: _values(split, both, ours, metric) - _values(split, both, other, metric) for metric in METRICS}
        figures = {metric: _interval(interval(lead, people)) for metric, lead in leads.items()}
        found[name] = {**figures["hr10"], "tests": len(both), **figures}
    return found


def along(split: Split, rows: Mapping[str, Row]) -> dict[str, Any]:
    """Each method's HR@10 in each of `PARTS` parts of the stream; None for a part without tests."""
    total = len(split.events)
    part = {split.events[at].id: min(at * PARTS // total, PARTS - 1) for at in split.tests}
    course: dict[str, list[float | None]] = {}
    for name, row in rows.items():
        hits: list[list[bool]] = [[] for _ in range(PARTS)]
        for test, place in row.items():
            if test in part:
                hits[part[test]].append(0 <= place < DEPTH)
        course[name] = [sum(some) / len(some) if some else None for some in hits]
    counts = np.bincount(np.array(list(part.values()), np.int64), minlength=PARTS)
    return {"edges": [edge / PARTS for edge in range(PARTS + 1)], "tests": counts.tolist(), "hr10": course}


def _method(split: Split, row: Row) -> dict[str, Any]:
    tests = [at for at in split.judged if split.events[at].id in row]
    people = _people(split, tests)
    found: dict[str, Any] = {"tests": len(tests)}
    for metric in METRICS:
        among = interval(_values(split, tests, row, metric), people)
        found[metric] = among.mean
        found[f"{metric}_interval"] = _interval(among)
    return found


def _values(split: Split, tests: Sequence[int], row: Row, metric: str) -> Floats:
    """The value of each test, 0 to 1."""
    places = np.array([row[split.events[at].id] for at in tests], np.float64)
    hit = (places >= 0) & (places < DEPTH)
    gain = np.ones_like(places) if metric == "hr10" else 1.0 / np.log2(np.maximum(places, 0.0) + 2.0)
    return np.where(hit, gain, 0.0)


def _people(split: Split, tests: Sequence[int]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(split.events[at].user, len(numbers)) for at in tests], np.int64)


def _interval(found: Interval) -> dict[str, Any]:
    why = {} if found.missing is None else {"no_interval": found.missing}
    return {"low": found.low, "high": found.high, "mean": found.mean, **why}
