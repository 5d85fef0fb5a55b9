"""Memory under twice the event rate that lists can be made for."""

import argparse
import asyncio
from typing import Any

from deploy.local.stack import Stage
from tests.benchmarks.load.driving import drive, events
from tests.benchmarks.load.pipeline import Size, pipeline, resident_mib
from tests.benchmarks.load.plot import Line, chart

FINDING_SECONDS = 20.0
FINDING_RATE = 400.0
"""Far beyond the capacity of two cores, so that the output rate is the capacity."""
PAST = 400
"""Events per user before the flood, so that contexts and item graph have nearly their final size."""

PATIENCE_SECONDS = 30.0
"""How long to wait for lists after the last event."""


async def flood(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure the worker's memory every second, and whether the fold keeps up."""
    size = Size(past=PAST)
    async with pipeline(size, asked.broker) as stage:
        source = events(size.people, size.items, seed=1)
        found = await drive(stage.broker.bootstrap, source, FINDING_RATE, FINDING_SECONDS)
        capacity = found.lists / FINDING_SECONDS
        print(f"{capacity:,.0f} lists/s; now {2 * capacity:,.0f} events/s for {asked.minutes:g} minutes")
        before = await _progress(stage)
        watching = asyncio.create_task(_watch(stage))
        answers = await drive(stage.broker.bootstrap, source, 2 * capacity, 60 * asked.minutes, PATIENCE_SECONDS)
        watching.cancel()
        samples = await watching
        folded, counted = [now - then for now, then in zip(await _progress(stage), before, strict=True)]
        shed, coalesced = [await stage.counted(f"ouzel_{name}_triggers") for name in ("shed", "coalesced")]
    fifth = max(1, len(samples) // 5)
    first, last = max(samples[fifth : 2 * fifth]), max(samples[-fifth:])
    print(f"events    {answers.sent:,}, of which folded {folded:,}, counted into the item graph {counted:,}")
    print(f"lists     {answers.lists:,}, without the model {answers.degraded:,}")
    half, most = answers.wait(0.5), answers.wait(0.99)
    print(f"latency   {half:.1f} s p50, {most:.1f} s p99; {answers.unanswered:,} events without a list")
    print(f"triggers  {shed:,} shed, {coalesced:,} coalesced")
    print(f"memory    {first:,.0f} MiB in the second fifth, {last:,.0f} MiB in the last: {last / first:.3f} times")
    minutes, title = [at / 60 for at in range(len(samples))], "The worker's memory in MiB, by minutes of the flood"
    return {
        "broker": asked.broker,
        "lists_per_second": capacity,
        "events_per_second": 2 * capacity,
        "minutes": asked.minutes,
        "sent": answers.sent,
        "folded": folded,
        "counted": counted,
        "lists": answers.lists,
        "without_model": answers.degraded,
        "unanswered": answers.unanswered,
        "wait_seconds": {"p50": half, "p99": most},
        "shed": shed,
        "coalesced": coalesced,
        "worker_mib": {"second_fifth": first, "last_fifth": last, "ratio": last / first},
        "plot": chart(title, minutes, [Line("memory", samples)], log=False),
    }


async def _progress(stage: Stage) -> tuple[int, int]:
    """Events folded so far, and events counted into the item graph."""
    return await stage.counted("ouzel_events"), await stage.counted("ouzel_counted_events")


async def _watch(stage: Stage) -> list[float]:
    samples: list[float] = []
    try:
        while True:
            samples.append(resident_mib(stage.worker_pids[0]))
            await asyncio.sleep(1.0)
    except asyncio.CancelledError:
        return samples
