"""Load on the whole path: a broker, a worker, a tritonserver with the adapter that comes along, all on this machine.

    knee       how long people wait for a list as events come faster, up to where it breaks and beyond
    growth     what a list and a worker cost with ten times the people, the items, the partitions
    flood      memory under events at twice what it can make lists for
    catch-up   how fast a worker answers its probes while it works off events that wait (the worker alone)

The sender and the reader run on the same cores. Figures of one run belong to one machine; the shapes do not.
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
    parser.add_argument("--seconds", type=float, default=12.0, help="Of each rate (knee, growth).")
    parser.add_argument("--rate", type=float, default=20.0, help="Events a second of growth.")
    parser.add_argument("--minutes", type=float, default=10.0, help="Of flood.")
    parser.add_argument("--people", type=int, default=1_000, help="Of catch-up.")
    parser.add_argument("--past", type=int, default=300, help="Events of each before (catch-up).")
    parser.add_argument("--waiting", type=int, default=300_000, help="Events that wait (catch-up).")
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--plot", type=Path, help="Draw them into this file, as SVG.")
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
    """With null for what is infinite, which JSON does not know."""
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


if __name__ == "__main__":
    sys.exit(main())
