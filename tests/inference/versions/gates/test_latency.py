"""Latency of two versions on a scripted scorer with a scripted clock; and on a real tritonserver."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inference.triton import server
from inference.triton.server import MODEL
from inference.versions.gates.judge import DEFAULT
from inference.versions.gates.latency import WARM_UP, Contender, Timings, judged, latency, timings
from schemas.scoring import DeadlineExceeded, ScoreRequest, Scores
from tests.support import parts
from tests.support import tiny_model as tiny
from tests.support import two_versions as two

ASKED = tiny.request(["a"], ["b", "c"])
ONE, TWO = Contender(1, "v-1"), Contender(2, "v-2")


class Clocked:
    """A scorer whose answers take the seconds that `cost` returns for a version; it is the clock, too."""

    def __init__(self, cost: Callable[[int], float], *, fails: int = 0, loaded: tuple[int, ...] = (1, 2)) -> None:
        self.now, self.asked = 0.0, list[int]()
        self._cost, self._fails, self._loaded = cost, fails, loaded

    def __call__(self) -> float:
        return self.now

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        assert number is not None
        self.asked.append(number)
        if len(self.asked) == self._fails:
            raise DeadlineExceeded("too slow")
        self.now += self._cost(number)
        answering = number if number in self._loaded else self._loaded[-1]
        return Scores(scores=(0.0, 0.0), model_version=f"v-{answering}")


def noisy(seed: int, ratio: float) -> Callable[[int], float]:
    """A shared machine: a heavy tail, and slow phases that last for some requests."""
    rng, phase = np.random.default_rng(seed), [1.0]

    def cost(number: int) -> float:
        if rng.random() < 0.02:
            phase[0] = float(rng.choice([1.0, 3.0, 6.0]))
        return float(phase[0] * (ratio if number == 2 else 1.0) * (0.01 + 0.002 * rng.exponential()))

    return cost


async def gates(scorer: Clocked, seed: int = 0):
    return await latency(
        scorer,  # type: ignore[arg-type]
        ONE,
        TWO,
        [ASKED],
        DEFAULT,
        np.random.default_rng(seed),
        clock=scorer,
    )


async def test_version_against_itself_passes_on_a_noisy_machine() -> None:
    failed = [seed for seed in range(100) if not all(g.passed for g in await gates(Clocked(noisy(seed, 1.0)), seed))]
    assert len(failed) <= 2, failed


async def test_twice_as_slow_fails_on_a_noisy_machine() -> None:
    for seed in range(20):
        found = await gates(Clocked(noisy(seed, 2.0)), seed)
        assert not all(gate.passed for gate in found)
        assert found[1].figure == pytest.approx(2.0, abs=0.1)


async def test_requests_are_interleaved_and_a_failure_is_measured_again() -> None:
    scorer = Clocked(float)
    await gates(scorer)
    pairs = DEFAULT.latency_pairs + WARM_UP
    assert len(scorer.asked) == 2 * 2 * pairs
    ordered = [tuple(scorer.asked[at : at + 2]) for at in range(0, len(scorer.asked), 2)]
    assert set(ordered) == {(1, 2), (2, 1)}
    once = Clocked(lambda number: 1.0)
    await gates(once)
    assert len(once.asked) == 2 * pairs


async def test_disturbed_measurement_passes_when_repeated() -> None:
    pairs = DEFAULT.latency_pairs + WARM_UP
    scorer = Clocked(lambda number: 3.0 if number == 2 and len(scorer.asked) < 2 * pairs else 1.0)
    found = await gates(scorer)
    assert [gate.passed for gate in found] == [True, True]
    assert found[0].figure == pytest.approx(1.0, abs=0.5)


async def test_failed_or_foreign_answer_fails_the_gate() -> None:
    for scorer, why in (
        (Clocked(lambda number: 1.0, fails=30), "too slow"),
        (Clocked(lambda number: 1.0, loaded=(1,)), "version 2 should be v-2, but v-1 answered"),
    ):
        measured = await timings(
            scorer,  # type: ignore[arg-type]
            ONE,
            TWO,
            [ASKED] * 60,
            np.random.default_rng(0),
            clock=scorer,
        )
        found = judged(measured, DEFAULT, np.random.default_rng(0))
        assert not any(gate.passed for gate in found)
        assert why in found[0].text


@pytest.mark.parametrize("pairs", [0, 1, 199])
def test_too_few_pairs_fail(pairs: int) -> None:
    found = judged(Timings(np.ones(pairs), np.ones(pairs)), DEFAULT, np.random.default_rng(0))
    assert not any(gate.passed for gate in found)


@pytest.mark.parametrize("wrong", [np.zeros(300), np.full(300, np.nan)])
def test_clock_that_stands_still_fails(wrong: np.ndarray) -> None:
    assert not any(gate.passed for gate in judged(Timings(wrong, np.ones(300)), DEFAULT, np.random.default_rng(0)))
    assert not any(gate.passed for gate in judged(Timings(wrong, wrong), DEFAULT, np.random.default_rng(0)))


async def test_without_requests_nothing_is_measured() -> None:
    scorer = Clocked(lambda number: 1.0)
    found = await latency(scorer, ONE, TWO, [], DEFAULT, np.random.default_rng(0), clock=scorer)  # type: ignore[arg-type]
    assert not any(gate.passed for gate in found)


@pytest.mark.triton
@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_latency_in_triton_stops_what_is_twice_as_slow(source: Path, tmp_path: Path) -> None:
    """And not what is equal. The challenger does the work of each request twice."""
    parts.need_triton()
    repository = two.tiny_repository(tmp_path / "models", source)
    asked = two.requests(40)
    with server.running(repository, log=tmp_path / "triton.log") as running:
        for second, passes in ((MODEL, True), (two.SLOW, False)):
            async with two.Numbered(running.grpc, second) as scorer:
                found = await latency(
                    scorer,  # type: ignore[arg-type]
                    Contender(1),
                    Contender(2),
                    asked,
                    DEFAULT,
                    np.random.default_rng(0),
                    clock=time.perf_counter,
                )
            print(*found, sep="\n")
            assert all(gate.passed for gate in found) == passes, found
