"""Latency: the challenger answers about as fast as the champion, on one server at the same time.

Requests are paired: each is sent to both versions, one right after the other, in random order. So what else the machine
does meets both alike. A machine that is disturbed may still fail one measurement, so a failure is measured again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from inference.evaluation.resampling import DRAWS, ends
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Floats
from inference.versions.store import Gate
from schemas.scoring import Scorer, ScoreRequest, ScoringError

WARM_UP = 10
"""Pairs before the measurement, which are not counted."""


@dataclass(frozen=True, eq=False)
class Timings:
    """The seconds of paired answers, float64 [n] each, and why the first pair without both answers had none."""

    champion: Floats
    challenger: Floats
    failure: str = ""


@dataclass(frozen=True)
class Contender:
    """A version to measure: its `number`, and what it reports with scores, if that is known."""

    number: int
    name: str = ""


async def timings(
    scorer: Scorer,
    champion: Contender,
    challenger: Contender,
    requests: Sequence[ScoreRequest],
    rng: np.random.Generator,
    *,
    clock: Callable[[], float],
    timeout: float = 10.0,
) -> Timings:
    """Send each of `requests` to both versions. Stops at the first that is not answered, or by another version."""
    taken: dict[int, list[float]] = {0: [], 1: []}
    for request in requests:
        for at in rng.permutation(2).tolist():
            asked = (champion, challenger)[at]
            begun = clock()
            try:
                answer = await scorer.score(request, timeout=timeout, number=asked.number)
            except ScoringError as error:
                return _timings(taken, f"version {asked.number}: {error}")
            taken[at].append(clock() - begun)
            if asked.name and answer.model_version != asked.name:
                return _timings(
                    taken, f"version {asked.number} should be {asked.name}, but {answer.model_version} answered"
                )
    return _timings(taken, "")


def _timings(taken: dict[int, list[float]], failure: str) -> Timings:
    pairs = min(map(len, taken.values()))
    champion, challenger = (np.array(taken[at][WARM_UP:pairs], np.float64) for at in (0, 1))
    return Timings(champion, challenger, failure)


async def latency(  # noqa: PLR0917
    scorer: Scorer,
    champion: Contender,
    challenger: Contender,
    requests: Sequence[ScoreRequest],
    thresholds: Thresholds,
    rng: np.random.Generator,
    *,
    clock: Callable[[], float],
    timeout: float = 10.0,
) -> list[Gate]:
    """Two gates, from up to two measurements: `latency_pairs` of `requests`, repeated as often as needed."""
    found: list[Gate] = []
    wanted = thresholds.latency_pairs + WARM_UP
    given = [requests[at % len(requests)] for at in range(wanted)] if requests else []
    for _ in range(2):
        measured = await timings(scorer, champion, challenger, given, rng, clock=clock, timeout=timeout)
        found = judged(measured, thresholds, rng)
        if all(gate.passed for gate in found):
            break
    return found


def judged(measured: Timings, thresholds: Thresholds, rng: np.random.Generator) -> list[Gate]:
    """The gates of the 99th percentile and the median. One fails if its ratio is above the threshold and surely above
    1, or if there are too few pairs. The interval of a percentile is wide with a few hundred pairs; the median, of the
    ratio within each pair, is exact even where the machine's speed changes."""
    return [
        _gate("p99 latency", 0.99, measured, _ratio_of_p99, thresholds, rng),
        _gate("median latency", 0.5, measured, _median_ratio, thresholds, rng),
    ]


def _ratio_of_p99(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray(np.quantile(ours, 0.99, axis=-1) / np.quantile(theirs, 0.99, axis=-1), np.float64)


def _median_ratio(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray(np.median(ours / theirs, axis=-1), np.float64)


def _gate(  # noqa: PLR0917
    name: str,
    level: float,
    measured: Timings,
    ratio: Callable[[Floats, Floats], Floats],
    thresholds: Thresholds,
    rng: np.random.Generator,
) -> Gate:
    ours, theirs, limit = measured.challenger, measured.champion, thresholds.latency_ratio
    gate = partial(Gate, name=name, threshold=limit)
    if measured.failure or len(ours) < thresholds.latency_pairs:
        why = measured.failure or f"{len(ours)} pairs of answers, at least {thresholds.latency_pairs} are needed"
        return gate(figure=0.0, passed=False, text=f"Not measured: {why}. Check that both versions are loaded.")
    if not ((ours > 0) & (theirs > 0) & np.isfinite(ours) & np.isfinite(theirs)).all():
        return gate(figure=0.0, passed=False, text="Not measured: the clock stood still. Measure again.")
    figure = float(ratio(ours, theirs))
    rows = rng.integers(0, len(ours), (DRAWS, len(ours)))
    low, high = ends(ratio(ours[rows], theirs[rows]))
    passed = figure <= limit or (low is not None and low <= 1)
    said = (
        f"{1e3 * np.quantile(ours, level):.1f} ms, champion {1e3 * np.quantile(theirs, level):.1f} ms, {len(ours):,} "
        "pairs on one server"
    )
    return gate(
        figure=figure,
        low=low,
        high=high,
        passed=passed,
        text=f"{said}." if passed else f"{said}. Use fewer layers, or a faster number format.",
    )
