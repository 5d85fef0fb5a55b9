"""The report of an evaluation: plain data for JSON, and a table for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from inference.evaluation.protocol import DEPTH, Outcome, hit_ratio, ndcg


@dataclass(frozen=True)
class Paired:
    """Two rankings on the tests that both were asked, e.g. with and without the model."""

    name: str
    one: str
    other: str


def summary(
    outcomes: Sequence[Outcome], *, rule: str, notes: Mapping[str, str], paired: Sequence[Paired] = ()
) -> dict[str, Any]:
    """The figures of one run for each tie seed, as plain data.

    `methods.NAME` holds `hr10` and `ndcg10`, each {mean, spread}; `paired.NAME` the same for both rankings of a pair,
    on the tests that both were asked, and how many those were.
    """
    every = dict.fromkeys(name for outcome in outcomes for name in outcome.places)
    names = [name for name in every if not any(name in (pair.one, pair.other) for pair in paired)]
    pairs: dict[str, Any] = {}
    for pair in paired:
        rows = [_both(outcome.row(pair.one), outcome.row(pair.other)) for outcome in outcomes]
        pairs[pair.name] = {
            "tests": [len(one) for one, _ in rows],
            pair.one: _figures([one for one, _ in rows]),
            pair.other: _figures([other for _, other in rows]),
        }
    return {
        "protocols": {
            "prequential": {
                "rule": rule,
                "seeds": len(outcomes),
                "tests": [outcome.tests for outcome in outcomes],
                "notes": dict(notes),
                "methods": {name: _figures([outcome.row(name) for outcome in outcomes]) for name in names},
                "paired": pairs,
            }
        }
    }


def table(report: Mapping[str, Any]) -> Table:
    """The report as a table; the best figure of each column is bold."""
    found = report["protocols"]["prequential"]
    shown = Table(title=f"{found['seeds']} tie seeds, {min(found['tests']):,} to {max(found['tests']):,} tests each")
    shown.add_column("method")
    for metric in (f"HR@{DEPTH}", f"NDCG@{DEPTH}"):
        shown.add_column(metric, justify="right")
        shown.add_column("spread", justify="right")
    for name, figures in found["methods"].items():
        cells = [
            text for metric in ("hr10", "ndcg10") for text in _cells(figures[metric], found["methods"].values(), metric)
        ]
        shown.add_row(name, *cells)
    for title, pair in found["paired"].items():
        shown.add_section()
        shown.add_row(f"{title}: {sum(pair['tests']):,} tests", "", "", "", "")
        for name, figures in pair.items():
            if name != "tests":
                cells = [text for metric in ("hr10", "ndcg10") for text in _cells(figures[metric], (), metric)]
                shown.add_row(f"  {name}", *cells)
    return shown


def _cells(figure: Mapping[str, float], among: Any, metric: str) -> tuple[str, str]:
    best = max((other[metric]["mean"] for other in among), default=None)
    text = f"{figure['mean']:.4f}"
    return f"[bold]{text}[/bold]" if figure["mean"] == best else text, f"{figure['spread']:.4f}"


def _figures(rows: Sequence[Sequence[int | None]]) -> dict[str, dict[str, float]]:
    return {"hr10": _spread([hit_ratio(row) for row in rows]), "ndcg10": _spread([ndcg(row) for row in rows])}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), "spread": max(values) - min(values)}


def _both(one: Sequence[int | None], other: Sequence[int | None]) -> tuple[list[int | None], list[int | None]]:
    asked = [at for at in range(len(one)) if one[at] is not None and other[at] is not None]
    return [one[at] for at in asked], [other[at] for at in asked]
