"""Load tests of the whole pipeline: a broker, a worker, and a tritonserver with the shipped adapter, on one machine.

    knee       latency of lists at rising event rates, up to the breaking point and beyond
    growth     the cost of a list and a worker with ten times the users, items or partitions
    flood      memory under twice the event rate that lists can be made for
    catch-up   latency of probes while a worker works off a backlog (without lists)

The sender and the reader run on the same cores. Figures depend on the machine; the shapes of the curves do not.
"""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.benchmarks.load.catch_up import catch_up
from tests.benchmarks.load.flood import flood
from tests.benchmarks.load.growth import growth
from tests.benchmarks.load.knee import knee
from tests.benchmarks.load.pipeline import BROKERS

PARTS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]] = {
    "knee": knee,
    "growth": growth,
    "flood": flood,
    "catch-up": catch_up,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--broker", choices=BROKERS, help="Default: embedded; kafka for catch-up.")
    parser.add_argument("--seconds", type=float, default=12.0, help="Seconds at each rate (knee, growth).")
    parser.add_argument("--rate", type=float, default=20.0, help="Events per second (growth).")
    parser.add_argument("--minutes", type=float, default=10.0, help="Duration (flood).")
    parser.add_argument("--people", type=int, default=1_000, help="Number of users (catch-up).")
    parser.add_argument("--past", type=int, default=300, help="Earlier events per user (catch-up).")
    parser.add_argument("--waiting", type=int, default=300_000, help="Events in the backlog (catch-up).")
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--plot", type=Path, help="Plot the figures to this file, as SVG.")
    asked = parser.parse_args()
    asked.broker = asked.broker or ("kafka" if asked.part == "catch-up" else "embedded")
    figures = asyncio.run(PARTS[asked.part](asked))
    drawn = figures.pop("plot")
    if asked.plot is not None:
        asked.plot.write_text(drawn, encoding="utf-8")
    if asked.json is not None:
        asked.json.write_text(json.dumps(_finite(figures), indent=2) + "\n", encoding="utf-8")
    return 0


def _finite(found: Any) -> Any:
    """Replace infinite numbers by null, since JSON has none."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


if __name__ == "__main__":
    sys.exit(main())
