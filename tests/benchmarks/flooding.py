"""The effect of a flood of describe requests on the latency of lists: python -m tests.benchmarks.flooding [--help]

Requests lists from a tritonserver one after another, in windows that alternate with and without a flood: processes that
send describe requests as fast as they are answered or refused, each with several in flight. Prints the median ratio of
list times over the pairs of windows (p50 and p95), the times, and the outcomes of the flood's requests.

`new` items have to be read by the model; `known` ones were read before. `rude` clients send new items, and do not back
off when refused, as Ouzel's clients do. Readings are not stored on disk. The flood shares the processor with the
server: `--nice` lowers its priority.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deploy.local.progress import telling
from inference.errors import InferenceError
from inference.scorers.rest import Rest
from inference.scorers.triton import TritonScorer
from inference.triton.repository import build, settings_of, weights_of
from inference.triton.server import TritonServer, running
from schemas.scoring import MAX_DESCRIBED, Candidate, Past, ScoreRequest, ScoringError

KEPT = Path(__file__).parents[2] / ".ouzel"
KINDS = ("new", "known", "rude")
HISTORY, CANDIDATES = 50, 100
SECONDS = 60.0
"""Timeout of lists and of the flood's requests."""


def film(number: int, mark: str = "") -> Candidate:
    return Candidate(f"The {mark}Film of Number {number} ({1920 + number % 100})", str(number), "Drama, Comedy, Crime")


def asked(session: int) -> ScoreRequest:
    past = [film(number) for number in range(session, session + HISTORY)]
    return ScoreRequest(
        session=session,
        scene="default",
        history=tuple(Past(one.text, "like", one.item, one.about, 1, 86_400_000 * at) for at, one in enumerate(past)),
        candidates=tuple(film(number) for number in range(200, 200 + CANDIDATES)),
    )


async def flood(address: str, kind: str, out: int, seed: int, signals: tuple[Event, Event]) -> Counter[str]:
    """Send requests, `out` at a time, while the first of the `signals` is set, until the second is. Returns the counts
    of outcomes."""
    on, over = signals
    found: Counter[str] = Counter()
    numbers = iter(range(10**9))

    async def ask(scorer: TritonScorer) -> None:
        while not over.is_set():
            if not on.is_set():
                await asyncio.sleep(0.01)
                continue
            mark = "" if kind == "known" else f"{seed}-{next(numbers)} "
            try:
                await scorer.describe([film(number, mark) for number in range(MAX_DESCRIBED)], timeout=SECONDS)
            except ScoringError as error:
                found[type(error).__name__] += 1
            else:
                found["described"] += 1

    scorers = [TritonScorer(address) for _ in range(out)]
    if kind == "rude":
        for scorer in scorers:
            scorer._rest = Rest(0.0, 0.0)
    await asyncio.gather(*map(ask, scorers))
    for scorer in scorers:
        await scorer.close()
    return found


def flooder(results: Any, nice: int, *given: Any) -> None:
    os.nice(nice)
    results.put(asyncio.run(flood(*given)))


async def window(scorer: TritonScorer, seconds: float, sessions: Iterator[int]) -> list[float]:
    """Milliseconds of each list requested within `seconds`."""
    taken: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        await scorer.score(asked(next(sessions) % 100), timeout=SECONDS)
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


async def measure(
    address: str, kind: str, *, clients: int, out: int, rounds: int, seconds: float, nice: int
) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    on, over, results = context.Event(), context.Event(), context.Queue()
    floods = [
        context.Process(target=flooder, args=(results, nice, address, kind, out, seed, (on, over)), daemon=True)
        for seed in range(clients)
    ]
    scorer, sessions = TritonScorer(address), iter(range(10**9))
    pairs: list[tuple[list[float], list[float]]] = []
    try:
        for number in range(0, 200 + CANDIDATES, MAX_DESCRIBED):
            await scorer.describe([film(number + each) for each in range(MAX_DESCRIBED)], timeout=10 * SECONDS)
        await window(scorer, seconds, sessions)
        for each in floods:
            each.start()
        for _ in range(rounds):
            calm = await window(scorer, seconds, sessions)
            on.set()
            await asyncio.sleep(1.0)  # let the flood start
            pairs.append((calm, await window(scorer, seconds, sessions)))
            on.clear()
            # Let the flood's requests in flight finish before the next calm window.
            with suppress(ScoringError):
                await scorer.describe([], timeout=SECONDS)
            await asyncio.sleep(1.0)
    finally:
        over.set()
        await scorer.close()
    became: Counter[str] = Counter()
    for _ in floods:
        became += await asyncio.to_thread(results.get, timeout=2 * SECONDS)
    return {"kind": kind, "clients": clients, "out": out, **ratios(pairs), "became": dict(became)}


def ratios(pairs: list[tuple[list[float], list[float]]]) -> dict[str, float]:
    """By percentile: the median times without and with the flood, and the median ratio of the pairs."""
    found: dict[str, float] = {}
    for percentile in (50, 95):
        times = [tuple(float(np.percentile(one, percentile)) for one in pair) for pair in pairs]
        found[f"calm_p{percentile}_ms"] = statistics.median(calm for calm, _ in times)
        found[f"flood_p{percentile}_ms"] = statistics.median(flooded for _, flooded in times)
        found[f"ratio_p{percentile}"] = statistics.median(flooded / calm for calm, flooded in times)
    return found


@contextmanager
def served(repository: Path) -> Iterator[TritonServer]:
    """Serve the model of a repository in a separate server, without readings on disk."""
    with tempfile.TemporaryDirectory(prefix="ouzel-flooding-") as folder:
        target = Path(folder)
        weights = weights_of(target)
        weights.parent.mkdir(parents=True)
        weights.symlink_to(weights_of(repository).resolve())
        build(target, msgspec.structs.replace(settings_of(repository), readings=""))
        with running(target, log=target / "server.log") as server:
            yield server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=Path, default=KEPT / "models" / "repository")
    parser.add_argument("--kind", choices=KINDS, action="append", help="kind of flood; repeatable [default: all]")
    parser.add_argument("--clients", type=int, default=4, help="number of flood processes")
    parser.add_argument("--out", type=int, default=8, help="requests in flight per process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="duration of a window")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the flood processes, 0 to 19")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        with telling("measuring"), served(given.repository) as server:
            found = [
                asyncio.run(
                    measure(
                        server.grpc,
                        kind,
                        clients=given.clients,
                        out=given.out,
                        rounds=given.rounds,
                        seconds=given.seconds,
                        nice=given.nice,
                    )
                )
                for kind in given.kind or KINDS
            ]
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'flood':8}{'':>6}{'calm ms':>10}{'flood ms':>10}{'ratio':>8}")
    for one in found:
        for percentile in (50, 95):
            calm, flooded, ratio = (one[f"{name}_p{percentile}{unit}"] for name, unit in COLUMNS)
            print(f"{one['kind']:8}{f'p{percentile}':>6}{calm:10.1f}{flooded:10.1f}{ratio:8.2f}")
        print(f"{one['kind']:8}{one['clients']} processes, {one['out']} requests each: {one['became']}")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0


COLUMNS = (("calm", "_ms"), ("flood", "_ms"), ("ratio", ""))

if __name__ == "__main__":
    sys.exit(main())
