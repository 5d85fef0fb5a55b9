"""How soon drift is found, and how often it is found where there is none: python -m tests.benchmarks.drift

    [--runs 200] [--changes 50] [--json FILE]

Simulated users of a frozen champion (`tests.support.drift_world`), with the default rules. The runs without a change
are long: the reference, and three times as many lists after it. A change comes at a random place in the blocks. Exits
with 1 if a change is found later than stated here in more than 5% of its runs, or more than 5% of the runs without a
change have an alarm.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from inference.versions.rules import Rules
from tests.support.drift_world import NOTHING, Change, alarmed

RULES = Rules()
MOST_ALARMS = 0.05
CHANGES = {
    "the taste of all users flips": (Change(flipped=1.0), 1_000),
    "the taste of half of the users flips": (Change(flipped=0.5), 5_000),
    "half of the lists are for newcomers": (Change(newcomers=0.5), 10_000),
    "users come 8 hours later": (Change(later=8), 10_000),
}
"""Changes, and the lists within which 95% of the runs must find them."""

AFTER = 12_000
"""Lists after a change."""


def without_change(runs: int) -> dict[str, Any]:
    count = 4 * RULES.drift_lists
    found = [alarmed(seed, count, NOTHING, RULES) for seed in range(runs)]
    false = [measure for after, measure in found if after is not None]
    return {
        "lists": count,
        "alarms": len(false),
        "by": dict(Counter(false)),
        "passed": len(false) <= MOST_ALARMS * runs,
    }


def with_change(change: Change, within: int, runs: int) -> dict[str, Any]:
    found, by = [], Counter[str]()
    for seed in range(runs):
        rng = np.random.default_rng((1, seed))
        at = 2 * RULES.drift_lists + int(rng.integers(RULES.drift_lists))
        after, measure = alarmed(10_000 + seed, at + AFTER, change, RULES, at)
        by[measure or "not found"] += 1
        found.append(AFTER + 1 if after is None else after)
    middle, most = (int(each) for each in np.percentile(found, (50, 95), method="higher"))
    return {"median": middle, "p95": most, "within": within, "by": dict(by), "passed": most <= within}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs without a change")
    parser.add_argument("--changes", type=int, default=50, help="runs with each change")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    began = time.monotonic()
    print(f"lists until a change is found, of {given.changes} runs each")
    report = {}
    for name, (change, within) in CHANGES.items():
        found = report[name] = with_change(change, within, given.changes)
        said = "" if found["passed"] else "  FAILED"
        print(f"  {name}: median {found['median']:,}, 95th percentile {found['p95']:,} (at most {within:,}); by "
              f"{found['by']}{said}")  # fmt: skip
    found = report["nothing"] = without_change(given.runs)
    said = "" if found["passed"] else "  FAILED"
    print(f"nothing changes: {found['alarms']} of {given.runs} runs of {found['lists']:,} lists have an alarm, at most "
          f"{MOST_ALARMS:.0%} may; {found['by']}{said}")  # fmt: skip
    print(f"{time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2))
    return 0 if all(each["passed"] for each in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
