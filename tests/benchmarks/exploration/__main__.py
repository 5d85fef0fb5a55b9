"""What exploration costs and what new items gain: `python -m tests.benchmarks.exploration [--json FILE]`.

Prints HR@10 of lists that explore, by temperature; the cost of the default policy with its paired interval; and how
long new items wait for their first showing, with places for them and without. Exits with 1 if the default policy may
cost more than 1% of HR@10, or new items do not come sooner with their places.

With `--model`, the model is trained once, on the first half of the first `--limit` events (minutes to an hour), and the
lists of the second half are judged. Without it the blend ranks alone, over the whole stream.
"""

import argparse
import asyncio
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin slow down those that work

import numpy as np
from rich.console import Console
from rich.table import Table

from deploy.datasets.dataset import Dataset, films
from deploy.evaluation.live_ranking import WITH, WITHOUT
from deploy.evaluation.trainings import train
from inference.evaluation.intervals import interval
from inference.evaluation.protocol import Rule
from inference.evaluation.retrieval import Readings
from inference.evaluation.runner import Outcome
from streams.ranking.exploration import Exploration
from streams.settings import Settings
from tests.benchmarks.exploration.curve import Cost, cost, hits, judged, people
from tests.benchmarks.exploration.first_showing import EVENT_SECONDS, Waits, waits, without_new

MOST = 0.01
"""The greatest share of HR@10 that the default may cost."""

TEMPERATURES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0)
SHARE = 0.25
"""Share of the likes that are tests, as in `ouzel evaluate`; with a model, all of the second half are."""


def main() -> int:
    chosen = options()
    console = Console(width=120)
    default = Settings().lists.explorations()
    dataset = films()
    stream = dataset.stream(0, chosen.limit or (30_000 if chosen.model else None))
    temperatures = tuple(sorted({*TEMPERATURES, default.default.temperature}))
    model = trained(dataset, stream, chosen.work) if chosen.model else None
    rule = Rule(warm_up=0.5, share=1.0) if chosen.model else Rule(share=SHARE)
    outcome = judged(
        dataset, stream, temperatures, draws=chosen.draws, rule=rule, model=model, progress=lambda done, total: None
    )
    report: dict[str, Any] = {"events": len(stream), "tests": len(outcome.tests), "draws": chosen.draws, "cost": {}}
    costs = {}
    for blend in (WITHOUT, WITH) if model is not None else (WITHOUT,):
        report[blend] = show_curve(console, outcome, blend, temperatures, chosen.draws, default.default)
        costs[blend] = cost(outcome, blend, default.default, chosen.draws)
        report["cost"][blend] = show_cost(console, blend, costs[blend], default.default)
    found = {}
    if not chosen.model:
        for label, of in (("with their places", default), ("without", without_new(default))):
            found[label] = asyncio.run(waits(dataset, stream, exploration=of, lists=chosen.lists, new=chosen.new))
        report["new_items"] = show_waits(console, found)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return verdict(console, costs, found)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What exploration costs, and what new items gain.")
    parser.add_argument("--limit", type=int, help="use the first N events (default: all; with a model 30,000)")
    parser.add_argument("--draws", type=int, default=2, help="lists drawn for each test and temperature")
    parser.add_argument("--lists", type=int, default=6_000, help="lists of the simulation of new items")
    parser.add_argument("--new", type=int, default=40, help="new items that it publishes")
    parser.add_argument("--model", action="store_true", help="train a model, and judge lists made with it")
    parser.add_argument("--work", type=Path, default=Path(".ouzel"), help="folder of the language model")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def trained(dataset: Dataset, stream: Any, work: Path) -> Readings:
    """The readings of a scorer trained on the first half of the stream."""
    from deploy.evaluation.learners import learner

    learned, _ = train(
        learner(dataset.items, work, lambda label, done, total: None),
        ("scorer",),
        [stream],
        [item.id for item in dataset.items],
        parts=2,
        last_out=False,
        seen=Settings().lists.seen_rules(),
        processes=1,
        progress=lambda label, done, total: None,
    )
    return learned[0]["scorer"].along


def show_curve(  # noqa: PLR0917
    console: Console, outcome: Outcome, blend: str, temperatures: tuple[float, ...], draws: int, default: Exploration
) -> dict[str, Any]:
    users = people(outcome)
    usual = hits(outcome, blend, 0.0, draws)
    table = Table(title=f"HR@10 when every list explores: {blend}, {len(usual):,} tests, {draws} draws of each")
    for column in ("temperature", "HR@10", "difference", "95% interval", "of HR@10"):
        table.add_column(column, justify="right")
    table.add_row("none", f"{usual.mean():.4f}", "", "", "")
    found: dict[str, Any] = {"none": {"hr10": float(usual.mean())}}
    for temperature in temperatures:
        drawn = hits(outcome, blend, temperature, draws)
        paired = interval(drawn - usual, users)
        found[f"{temperature:g}"] = {"hr10": float(drawn.mean()), "difference": paired._asdict()}
        table.add_row(
            f"{temperature:g}" + (" (default)" if temperature == default.temperature else ""),
            f"{drawn.mean():.4f}",
            f"{paired.mean:+.4f}",
            bounds(paired.low, paired.high),
            f"{paired.mean / usual.mean():+.1%}",
        )
    console.print(table)
    return found


def show_cost(console: Console, blend: str, of: Cost, policy: Exploration) -> dict[str, Any]:
    change = of.difference
    console.print(
        f"{blend}: by default {policy.share:.1%} of the lists explore at {policy.temperature:g}, and "
        f"{policy.new_share:.1%} have {policy.new_places} places for new items, which count as misses. HR@10 is "
        f"{of.by:.4f} instead of {of.without:.4f}: {change.mean:+.5f}, 95% {bounds(change.low, change.high, 5)}. "
        f"That costs {-change.mean / of.without:.2%}, and {of.most:.2%} at most.",
        highlight=False,
    )
    return {"without": of.without, "by": of.by, "difference": of.difference._asdict(), "most": of.most}


def show_waits(console: Console, found: dict[str, Waits]) -> dict[str, Any]:
    made = next(iter(found.values())).made
    table = Table(title=f"First showing of new items: {made:,} lists, one each {EVENT_SECONDS} s of a fake clock")
    for column in ("new items", "shown", "median wait", "90% wait", "entries", "metric: mean"):
        table.add_column(column, justify="right")
    told = {}
    for label, one in found.items():
        # An item that was not shown waits longer than any that was.
        lists = np.array([np.inf if wait is None else wait for wait in one.lists])
        shown = int(np.isfinite(lists).sum())
        median, most = (float(np.quantile(lists, share, method="higher")) for share in (0.5, 0.9))
        table.add_row(
            label,
            f"{shown} of {len(lists)}",
            waited(median),
            waited(most),
            f"{one.showings / (10 * one.made):.2%}",
            f"{one.observed}: {one.mean_seconds / 60:,.0f} min" if one.observed else "none",
        )
        told[label] = one._asdict() | {"shown": shown}
    console.print(table)
    return told


def verdict(console: Console, costs: dict[str, Cost], found: dict[str, Waits]) -> int:
    wrong = [
        f"{blend}: the default may cost {of.most:.2%} of HR@10, more than {MOST:.0%}"
        for blend, of in costs.items()
        if of.most > MOST
    ]
    if found:
        sooner, later = (sum(wait is not None for wait in one.lists) for one in found.values())
        if sooner <= later:
            wrong.append(f"{sooner} new items were shown with places for them, and {later} without")
    for line in wrong:
        console.print(line, style="red", highlight=False)
    return 1 if wrong else 0


def bounds(low: float | None, high: float | None, digits: int = 4) -> str:
    return "no interval" if low is None or high is None else f"[{low:+.{digits}f}, {high:+.{digits}f}]"


def waited(lists: float) -> str:
    return "not shown" if np.isinf(lists) else f"{lists:,.0f} lists ({lists * EVENT_SECONDS / 60:,.0f} min)"


if __name__ == "__main__":
    raise SystemExit(main())
