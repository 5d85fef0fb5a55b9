"""The cost of a list and a worker with ten times the users, items or partitions."""

import argparse
from dataclasses import replace
from typing import Any

from tests.benchmarks.load.driving import drive, events
from tests.benchmarks.load.pipeline import Size, pipeline, processor_seconds, resident_mib
from tests.benchmarks.load.plot import Line, chart

TIMES = 10


async def growth(asked: argparse.Namespace) -> dict[str, Any]:
    """Measure one run each, at a rate that all can sustain."""
    base = Size()
    sizes = {
        "baseline": base,
        "people": replace(base, people=TIMES * base.people),
        "items": replace(base, items=TIMES * base.items),
        "partitions": replace(base, partitions=TIMES * base.partitions),
    }
    found: dict[str, dict[str, float]] = {}
    print(f"{'x 10':12} {'worker s/event':>15} {'p50 ms':>8} {'p99 ms':>8} {'worker MiB':>11}")
    for name, size in sizes.items():
        async with pipeline(size, asked.broker) as stage:
            worker = stage.worker_pids[0]
            source = events(size.people, size.items, seed=1)
            await drive(stage.broker.bootstrap, source, asked.rate, 2.0)
            used = processor_seconds(worker)
            answers = await drive(stage.broker.bootstrap, source, asked.rate, asked.seconds)
            used = (processor_seconds(worker) - used) / answers.sent
            found[name] = {
                "worker_seconds_per_event": used,
                "p50_ms": 1000 * answers.wait(0.5),
                "p99_ms": 1000 * answers.wait(0.99),
                "worker_mib": resident_mib(worker),
            }
        row = found[name]
        print(f"{name:12} {used:15.4f} {row['p50_ms']:8,.0f} {row['p99_ms']:8,.0f} {row['worker_mib']:11,.0f}")
    ratios = {
        name: {figure: row[figure] / found["baseline"][figure] for figure in row}
        for name, row in found.items()
        if name != "baseline"
    }
    print("relative to the baseline:")
    for name, row in ratios.items():
        print(f"{name:12} {row['worker_seconds_per_event']:15.2f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} "
              f"{row['worker_mib']:11.2f}")  # fmt: skip
    names = {"worker_seconds_per_event": "CPU time", "p50_ms": "p50", "worker_mib": "memory"}
    lines = [
        Line(f"{said}, {name}", [1.0, row[figure]]) for name, row in ratios.items() for figure, said in names.items()
    ]
    return {
        "broker": asked.broker,
        "rate": asked.rate,
        "sizes": found,
        "ratios": ratios,
        "plot": chart("Cost of an event relative to the baseline, at ten times the size", [1.0, float(TIMES)], lines),
    }
