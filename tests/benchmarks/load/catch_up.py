"""Whether a worker answers its probes while it works off a backlog."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.kafka.topics import create
from deploy.local.processes import Child
from inference.triton.ports import free_ports
from streams.settings import Settings, throwaway
from tests.benchmarks.events import produce
from tests.benchmarks.load.pipeline import BROKERS, processor_seconds
from tests.benchmarks.load.plot import Line, chart
from tests.benchmarks.load.polling import PAGES, waits
from tests.support.workers import WITHOUT_MODEL, Worker

ITEMS = 2_000
PATIENCE_SECONDS = 3_600.0
WATCH_SECONDS = 1.0
BURN = [sys.executable, "-c", "while True: pass"]
P99_SECONDS, MOST_SECONDS = 0.25, 1.0
"""Maximum latency of answers: for 99%, and for all."""

SHARES = (0.5, 0.9, 0.99, 1.0)


async def catch_up(asked: argparse.Namespace) -> dict[str, Any]:
    """Fold the past; build up a backlog, and busy one core; then start the worker and poll its pages."""
    folder = Path(tempfile.mkdtemp(prefix="ouzel-catch-up-"))
    past = asked.people * asked.past
    with BROKERS[asked.broker](folder / "broker") as broker:
        settings = throwaway(broker.bootstrap, state_dir=folder / "state", web_port=free_ports(1)[0])
        await create(broker.bootstrap)
        await produce(broker.bootstrap, past, asked.people, ITEMS, seed=0, even=True)
        with _worker(settings, folder, OUZEL_DUTIES="contexts") as worker:
            await _until(worker, "ouzel_events_total", past)
        await produce(broker.bootstrap, asked.waiting, asked.people, ITEMS, seed=1, even=True)
        polling = [sys.executable, "-m", "tests.benchmarks.load.polling", str(settings.web.port)]
        with Child("A busy process", BURN, log=folder / "burner.log"), _worker(settings, folder) as worker:
            begin = time.monotonic()
            with Child("The probe", polling, log=folder / "polls.jsonl") as probe:
                await _until(worker, "ouzel_events_total", asked.waiting)
                folded = time.monotonic() - begin
                await _until(worker, "ouzel_counted_events_total", asked.waiting)
                seconds, used = time.monotonic() - begin, processor_seconds(worker.pid)
            lines = probe.log.read_text(encoding="utf-8").splitlines()
    answers = {page: waits(lines, page) for page in PAGES}
    print(f"events    {asked.waiting:,} of {asked.people:,} users with {asked.past} earlier events each")
    print(f"caught up {seconds:,.1f} s, of which folding {folded:,.1f} s; {used:,.1f} s of CPU time")
    for page, found in answers.items():
        waited = ", ".join(f"{_name(share)} {1000 * value_at(found, share):,.0f} ms" for share in SHARES)
        print(f"{page:9} {len(found):,} polls: {waited}")
    good = all(
        value_at(found, 0.99) < P99_SECONDS and value_at(found, 1.0) < MOST_SECONDS for found in answers.values()
    )
    print(f"answers   {'within' if good else 'NOT within'} {P99_SECONDS:g} s p99 and {MOST_SECONDS:g} s")
    lines_drawn = [Line(page, [1000 * value_at(found, share) for share in SHARES]) for page, found in answers.items()]
    return {
        "broker": asked.broker,
        "people": asked.people,
        "past": asked.past,
        "waiting": asked.waiting,
        "catch_up_seconds": seconds,
        "folded_seconds": folded,
        "worker_seconds": used,
        "answers": {
            page: {"polls": len(found), **{f"{_name(s)}_ms": 1000 * value_at(found, s) for s in SHARES}}
            for page, found in answers.items()
        },
        "good": good,
        "plot": chart("Milliseconds to an answer, by share of answers", SHARES, lines_drawn, log=False),
    }


def value_at(ordered: list[float], share: float) -> float:
    """The quantile at `share` of `ordered`, ascending; infinite if empty."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("inf")


def _name(share: float) -> str:
    return "max" if share == 1.0 else f"p{100 * share:g}"


def _worker(settings: Settings, folder: Path, **env: str) -> Worker:
    return Worker(settings, folder / "worker.log", command=WITHOUT_MODEL, env=env)


async def _until(worker: Worker, name: str, count: int) -> None:
    """Wait until a counter of the worker reaches `count`. Raises `DeployError` if the worker exits or times out."""
    await asyncio.to_thread(worker.until_metric, name, count, PATIENCE_SECONDS, every=WATCH_SECONDS)
