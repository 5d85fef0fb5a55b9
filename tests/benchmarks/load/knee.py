"""Latency of lists at rising event rates."""

import argparse
from typing import Any

from streams.settings import Settings
from tests.benchmarks.load.driving import Answers, drive, events
from tests.benchmarks.load.pipeline import Size, pipeline
from tests.benchmarks.load.plot import Line, chart

FIRST, TIMES, MOST = 10.0, 2.0, 2_560.0
BEYOND = 2
"""Number of rates tested beyond the knee."""


def holds(found: Answers, deadline: float) -> bool:
    """Whether 99% of events had a list within the deadline, and 99% of lists were made with the model."""
    return found.wait(0.99) <= deadline and found.degraded <= 0.01 * found.lists


async def knee(asked: argparse.Namespace) -> dict[str, Any]:
    """Twice the rate at each step."""
    deadline, size = Settings().lists.deadline_ms / 1000, Size()
    rows: list[dict[str, Any]] = []
    reached, broken, rate = 0.0, 0, FIRST
    print(f"{'events/s':>9} {'lists/s':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'no model':>9} {'no list':>8}")
    async with pipeline(size, asked.broker) as stage:
        source = events(size.people, size.items, seed=1)
        while broken < BEYOND and rate <= MOST:
            found = await drive(stage.broker.bootstrap, source, rate, asked.seconds)
            stage.check()
            row = {
                "events_per_second": rate,
                "lists_per_second": found.lists / asked.seconds,
                **{f"p{100 * share:g}_ms": 1000 * found.wait(share) for share in (0.5, 0.95, 0.99)},
                "without_model": found.degraded / max(1, found.lists),
                "without_list": found.unanswered / found.sent,
            }
            rows.append(row)
            print(
                f"{rate:9,.0f} {row['lists_per_second']:9,.1f} {row['p50_ms']:8,.0f} {row['p95_ms']:8,.0f} "
                f"{row['p99_ms']:8,.0f} {row['without_model']:9.1%} {row['without_list']:8.1%}"
            )
            if holds(found, deadline):
                reached = rate
            else:
                broken += 1
            rate *= TIMES
    print(f"the knee is above {reached:,.0f} events/s: 99% answered within {deadline:g} s, 99% with the model")
    rates = [row["events_per_second"] for row in rows]
    lines = [Line(name, [row[f"{name}_ms"] for row in rows]) for name in ("p50", "p95", "p99")]
    return {
        "broker": asked.broker,
        "knee_events_per_second": reached,
        "rates": rows,
        "plot": chart(
            "Milliseconds from an event to its list, by events per second", rates, lines, mark=1000 * deadline
        ),
    }
