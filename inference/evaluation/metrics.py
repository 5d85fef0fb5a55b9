"""Compute the figures of a report from the outcomes of runs, as plain data for JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.beyond_accuracy import PROPERTIES
from inference.evaluation.intervals import interval
from inference.evaluation.protocol import DEPTH
from inference.evaluation.runner import BUCKETS, SIGNAL, Outcome

RECALL_AT = (10, 50, 100, 200)
PARTS = 10
"""Number of parts of the stream in figures along the stream."""

Floats = NDArray[np.float64]
Figures = dict[str, Any]


@dataclass(frozen=True)
class About:
    """Descriptive parts of a protocol's report.

    `ours` is compared with every other method. `retrieval` names the methods whose recall is reported. `tokens` is the
    number of tokens per list, by method. `retrained_at` holds the event indices before which models were trained.
    """

    rule: str
    notes: Mapping[str, str] = field(default_factory=dict)
    ours: str = "ouzel"
    retrieval: Sequence[str] = ()
    tokens: Mapping[str, float] = field(default_factory=dict)
    retrained_at: Sequence[int] = ()


def summary(outcomes: Sequence[Outcome], about: About) -> Figures:
    """The figures of one protocol, from one run per tie seed. docs/guide/evaluation.md has the structure."""
    every = list(dict.fromkeys(name for outcome in outcomes for name in outcome.places))
    table = _Table(outcomes)
    names = sorted((name for name in every if not name.startswith(SIGNAL)), key=lambda name: name != about.ours)
    found: Figures = {
        "rule": about.rule,
        "seeds": len(outcomes),
        "tests": [len(outcome.tests) for outcome in outcomes],
        "likes": [outcome.likes for outcome in outcomes],
        "left_out": {
            why: [outcome.left_out[why] for outcome in outcomes] for why in (outcomes[0].left_out if outcomes else ())
        },
        "notes": dict(about.notes),
        "retrained_at": [
            {"event": at, "share": at / max(1, outcomes[0].events) if outcomes else 0.0} for at in about.retrained_at
        ],
        "methods": {name: _method(table, name, about) for name in names},
        "signals": {
            name.removeprefix(SIGNAL): {metric: table.by_seed(name, metric) for metric in METRICS}
            for name in every
            if name.startswith(SIGNAL)
        },
        "by_history": {
            bucket: {name: table.among(name, table.bucket == number) for name in names}
            for number, bucket in enumerate(BUCKETS)
        },
        "against": {
            name: _against(table, about.ours, name) for name in names if about.ours in names and name != about.ours
        },
        "unseen_items": _unseen(table, names),
        "recall": _recall(table, outcomes, about),
        "along_stream": _along(table, names),
    }
    return found


METRICS = ("hr10", "ndcg10")

UNSEEN = ("hr10", "ndcg10", "percentile", "among_unseen")
"""Columns of the table of tests on items unseen in training."""


class _Table:
    """All tests of all seeds, concatenated."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = outcomes
        tests = [test for outcome in outcomes for test in outcome.tests]
        counts = [len(outcome.tests) for outcome in outcomes]
        numbers = {bucket: number for number, bucket in enumerate(BUCKETS)}
        self.seed = np.repeat(np.arange(len(outcomes)), counts)
        self.people = _people(outcomes)
        self.left = np.array([test.left for test in tests], np.float64)
        self.bucket = np.array([numbers[test.bucket] for test in tests], np.int64)
        share = [test.at / max(1, outcome.events) for outcome in outcomes for test in outcome.tests]
        self.part = np.minimum((np.array(share) * PARTS).astype(np.int64), PARTS - 1)
        self.unseen = np.array(
            [flag for outcome in outcomes for flag in outcome.unseen or [False] * len(outcome.tests)], np.bool_
        )
        self._places: dict[str, Floats] = {}

    def places(self, name: str) -> Floats:
        """[tests]: NaN if the method was not asked, inf if the item was not listed."""
        if name not in self._places:
            rows = [place for outcome in self.outcomes for place in outcome.row(name)]
            self._places[name] = np.array(
                [np.nan if place is None else np.inf if place < 0 else place for place in rows], np.float64
            )
        return self._places[name]

    def measured(self, name: str) -> bool:
        """Whether the properties of the method's lists were measured."""
        return any(name in outcome.lists.values for outcome in self.outcomes)

    def values(self, name: str, metric: str) -> Floats:
        """The value of each test; NaN if the method was not asked, or the metric is undefined for its list."""
        if metric in PROPERTIES:
            column = PROPERTIES.index(metric)
            nothing = [np.full((len(outcome.tests), len(PROPERTIES)), np.nan) for outcome in self.outcomes]
            rows = [one.lists.values.get(name, none) for one, none in zip(self.outcomes, nothing, strict=True)]
            return np.concatenate([of[:, column] for of in rows]).astype(np.float64)
        places = self.places(name)
        gain = np.ones_like(places) if metric == "hr10" else 1.0 / np.log2(places + 2.0)
        return np.asarray(np.where(np.isnan(places), np.nan, np.where(places < DEPTH, gain, 0.0)))

    def by_seed(self, name: str, metric: str) -> Figures:
        values = self.values(name, metric)
        asked = ~np.isnan(values)
        means = [_mean(values[asked & (self.seed == seed)]) for seed in np.unique(self.seed[asked])] or [0.0]
        low, high, _, missing = interval(values[asked], self.people[asked])
        return {"mean": _mean(means), "spread": max(means) - min(means), "low": low, "high": high, **_missing(missing)}

    def property(self, name: str, metric: str) -> Figures:
        """As `by_seed`, with the number of lists that it is the mean of; the mean of none is None."""
        lists = int((~np.isnan(self.values(name, metric))).sum())
        found = self.by_seed(name, metric)
        return {**found, **({} if lists else {"mean": None, "spread": None}), "lists": lists}

    def coverage(self, name: str) -> Figures:
        """The share of the catalogue that is in any list of an order of ties."""
        shares = [_mean(one.lists.shown[name]) for one in self.outcomes if name in one.lists.shown]
        return {"mean": _mean(shares), "spread": max(shares) - min(shares)}

    def among(self, name: str, which: NDArray[np.bool_]) -> dict[str, float]:
        """The figures over a subset of the tests of all seeds."""
        which = which & ~np.isnan(self.places(name))
        return {"tests": int(which.sum()), **{metric: _mean(self.values(name, metric)[which]) for metric in METRICS}}


def _people(outcomes: Sequence[Outcome]) -> NDArray[np.int64]:
    """One number per user, the same in all seeds."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(test.user, len(numbers)) for outcome in outcomes for test in outcome.tests], np.int64
    )


def _method(table: _Table, name: str, about: About) -> Figures:
    seconds = sum(outcome.seconds.get(name, 0.0) for outcome in table.outcomes)
    asked = int((~np.isnan(table.places(name))).sum())
    found: Figures = {metric: table.by_seed(name, metric) for metric in METRICS}
    found["ms_a_list"] = 1000.0 * seconds / asked if asked else 0.0
    if table.measured(name):
        found |= {metric: table.property(name, metric) for metric in PROPERTIES}
        found["coverage"] = table.coverage(name)
    if name in about.tokens:
        found["tokens_a_list"] = about.tokens[name]
    found["by_history"] = {bucket: table.among(name, table.bucket == number) for number, bucket in enumerate(BUCKETS)}
    return found


def _against(table: _Table, ours: str, other: str) -> Figures:
    found: Figures = {}
    for metric in METRICS + (PROPERTIES if table.measured(ours) and table.measured(other) else ()):
        difference = table.values(ours, metric) - table.values(other, metric)
        both = ~np.isnan(difference)
        low, high, mean, missing = interval(difference[both], table.people[both])
        found[metric] = {
            "low": low,
            "high": high,
            "mean": mean if both.any() or metric in METRICS else None,
            **_missing(missing),
        }
    return {**found["hr10"], **found}


def _unseen(table: _Table, names: Sequence[str]) -> Figures:
    which = table.unseen
    left = table.left[which]
    found: Figures = {"tests": int(which.sum())}
    found["chance"] = {"hr10": _mean(np.minimum(1.0, DEPTH / np.maximum(left, 1.0))), "percentile": 0.5}
    found["chance"]["among_unseen"] = 0.5
    for name in names:
        figures: Figures = table.among(name, which)
        places = table.places(name)[which]
        if len(places) and np.isfinite(places).all():
            figures["percentile"] = _mean(1.0 - places / np.maximum(left - 1.0, 1.0))
        among = [share for outcome in table.outcomes for share in outcome.among_unseen.get(name, [])]
        if among:
            figures["among_unseen"] = _mean(among)
            figures["among_unseen_error"] = float(np.std(among) / np.sqrt(len(among)))
        found[name] = figures
    return found


def _recall(table: _Table, outcomes: Sequence[Outcome], about: About) -> Figures:
    found: Figures = {}
    for name in about.retrieval:
        places = table.places(name)
        asked = places[~np.isnan(places)]
        found[name] = {str(k): _mean(asked < k) for k in RECALL_AT}
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome.found):
        hits = [hit for outcome in outcomes for hit in outcome.found.get(name, [])]
        size = sum(outcome.sizes.get(name, 0) for outcome in outcomes)
        found[name] = {"recall": _mean(hits), "size": size / max(1, len(hits))}
    return found


def _along(table: _Table, names: Sequence[str]) -> Figures:
    """HR@10 of each method by part of the stream; None for parts without tests."""
    parts = [table.part == part for part in range(PARTS)]
    return {
        "edges": [part / PARTS for part in range(PARTS + 1)],
        "tests": [int(part.sum()) for part in parts],
        "hr10": {
            name: [figures["hr10"] if (figures := table.among(name, part))["tests"] else None for part in parts]
            for name in names
        },
    }


def _missing(why: str | None) -> dict[str, str]:
    """The reason for a missing interval, if any."""
    return {} if why is None else {"no_interval": why}


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else 0.0
