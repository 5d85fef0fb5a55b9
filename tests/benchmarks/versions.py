"""How the loop decides, in simulation: python -m tests.benchmarks.versions [--seeds 100] [--json FILE]

Draws users for the tests in shadow and canary, runs the whole loop with a version that is good in every gate and worse
where users see it, and flips the users' taste. `tests.support` says what is simulated and what is real.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from inference.versions.rules import Rules
from inference.versions.state import Known
from inference.versions.verdicts import Outcome
from tests.support.loop_world import Quality, World
from tests.support.taste_world import TasteWorld
from tests.support.verdict_draws import judged_canary, judged_shadow

RULES = Rules()
Judged = Callable[[Rules, float, np.random.Generator], tuple[Outcome, int]]
ENDS = {"withdrawn", "promoted", "rejected"}
PLANTED = Rules(full_likes=100, items_likes=1_000_000)


def power(judged: Judged, loss: float, seeds: int) -> dict[str, Any]:
    """Outcomes of a challenger with this loss, and the likes until the verdict."""
    found = [judged(RULES, loss, np.random.default_rng(seed)) for seed in range(seeds)]
    likes = np.percentile([count for _, count in found], [10, 50, 90])
    return {"outcomes": dict(Counter(outcome for outcome, _ in found)), "likes": likes.round().tolist()}


def _ended(known: Known) -> bool:
    return any(each.event in ENDS for each in known.verdicts)


def planted(loss: float, seeds: int) -> dict[str, Any]:
    """The whole loop with a version that loses this much where users see its lists, and nothing elsewhere."""
    ends, lists, likes = Counter[str](), [], []
    for seed in range(seeds):
        world = World(seed=seed, rules=PLANTED, qualities={2: Quality(0.26, 0.26 - loss), 1: Quality(0.26, 0.26)})
        known = world.known
        world.run(10_000, until=lambda known=known: 2 in known and _ended(known[2]))
        last = next(each for each in known[2].verdicts if each.event in ENDS)
        ends[last.event] += 1
        if last.event == "withdrawn":
            lists.append(last.lists)
            likes.append(last.pairs)
    spread = {name: np.percentile(of, [10, 50, 90]).round().tolist() if of else [] for name, of in
              (("lists", lists), ("likes", likes))}  # fmt: skip
    return {"ends": dict(ends), **spread}


def flipped(seeds: int) -> list[dict[str, float]]:
    found = []
    for seed in range(seeds):
        world = TasteWorld(seed=seed)
        world.run(1_000)
        at = world.flip_at
        promoted = sum(each.event == "promoted" for known in world.known.values() for each in known.verdicts)
        found.append({
            "before": world.ratio(at - 3_000, at), "learning": world.ratio(-3_000, len(world.series)),
            "frozen": world.ratio(-3_000, len(world.series), frozen=True), "versions": world.trained,
            "promoted": promoted,
        })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    began = time.monotonic()
    report: dict[str, Any] = {"seeds": given.seeds}
    for name, judged, losses in (
        ("shadow", judged_shadow, (-0.03, 0.0, 0.015, 0.03, 0.06)), ("canary", judged_canary, (0.0, 0.03, 0.06, 0.1)),
    ):  # fmt: skip
        print(f"\n{name}: likes until the verdict (10%, median, 90% of runs)")
        for loss in losses:
            seeds = max(given.seeds, 200) if loss == 0 else given.seeds
            found = report[f"{name} {loss}"] = power(judged, loss, seeds)
            print(f"  loss {loss:+.3f}  {found['likes']}  {found['outcomes']}")
    print("\ngood in every gate and in shadow, worse where users see it: lists and likes that it cost")
    for loss in (0.06, 0.1):
        found = report[f"planted {loss}"] = planted(loss, given.seeds)
        print(f"  loss {loss:+.3f}  lists {found['lists']}  likes {found['likes']}  {found['ends']}")
    print("\ntaste that flips: hit ratio before it and at the end")
    report["flipped"] = flipped(max(3, given.seeds // 20))
    for each in report["flipped"]:
        print("  " + "  ".join(f"{key} {value:.3f}" if value < 1 else f"{key} {value}" for key, value in each.items()))
    print(f"\n{time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
