"""Memory under events at twice what lists can be made for."""

import argparse
import asyncio
from typing import Any

from deploy.stage import Stage
from tests.benchmarks.load.driving import drive, events
from tests.benchmarks.load.pipeline import Size, pipeline, resident_mib
from tests.benchmarks.load.plot import Line, chart

FINDING_SECONDS = 20.0
FINDING_RATE = 400.0
"""Far more than two cores make lists for, so that what comes out is what they can."""


async def flood(asked: argparse.Namespace) -> dict[str, Any]:
    """The worker's memory, second by second, and whether the fold kept up."""
    size = Size()
    async with pipeline(size, asked.broker) as stage:
        source = events(size.people, size.items, seed=1)
        found = await drive(stage.broker.bootstrap, source, FINDING_RATE, FINDING_SECONDS)
        capacity = found.lists / FINDING_SECONDS
        print(f"{capacity:,.0f} lists a second; now {2 * capacity:,.0f} events a second for {asked.minutes:g} minutes")
        before = await stage.folded()
        watching = asyncio.create_task(_watch(stage))
        answers = await drive(stage.broker.bootstrap, source, 2 * capacity, 60 * asked.minutes)
        watching.cancel()
        samples = await watching
        folded = await stage.folded() - before
        shed, coalesced = [await stage.counted(f"ouzel_{name}_triggers") for name in ("shed", "coalesced")]
    fifth = max(1, len(samples) // 5)
    first, last = max(samples[fifth : 2 * fifth]), max(samples[-fifth:])
    print(f"events    {answers.sent:,}, of which folded {folded:,}")
    print(f"lists     {answers.lists:,}, without the model {answers.degraded:,}")
    print(f"people    {answers.unanswered:,} events that no list answers")
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
        "lists": answers.lists,
        "without_model": answers.degraded,
        "unanswered": answers.unanswered,
        "shed": shed,
        "coalesced": coalesced,
        "worker_mib": {"second_fifth": first, "last_fifth": last, "ratio": last / first},
        "plot": chart(title, minutes, [Line("memory", samples)], log=False),
    }


async def _watch(stage: Stage) -> list[float]:
    samples: list[float] = []
    try:
        while True:
            samples.append(resident_mib(stage.worker_pids[0]))
            await asyncio.sleep(1.0)
    except asyncio.CancelledError:
        return samples
