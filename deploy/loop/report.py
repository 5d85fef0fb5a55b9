"""The report of a loop for the terminal, readable at 100 columns. Pure: it only renders the figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deploy.loop.split import WHY_LEFT_OUT
from inference.evaluation.console_report import between

TITLES = {
    "learning": "learning",
    "frozen": "frozen model",
    "without_model": "no model",
    "retrained": "offline: retrained",
    "without_model_offline": "offline: no model",
    "retrained_alone": "model alone",
    "sasrec_retrained": "SASRec",
    "item_knn": "item-kNN",
    "markov": "transitions",
    "popularity": "popularity",
}
LIVE = ("learning", "frozen", "without_model")
"""The names of the passes, in the order of the report."""

BAR = 24


def tables(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The whole report, in display order."""
    yield _last_third(report)
    yield _passes(report)
    yield _along(report)
    left = ", ".join(f"{count:,} {WHY_LEFT_OUT[why]}" for why, count in report["left_out"].items() if count)
    yield Text(
        f"Of {report['likes']:,} likes, {report['tests']:,} judge lists. Not judged: {left or 'none'}.", style="dim"
    )
    for note in report["notes"].values():
        yield Text(f"- {note}", style="dim")


def _last_third(report: Mapping[str, Any]) -> Table:
    title = (
        f"Last third: is the next like among the ten of the user's newest list? {report['judged']:,} likes of "
        f"{report['users']:,} users"
    )
    table = _table(title, "lists", "HR@10", "NDCG@10")
    of = report["of"]
    table.add_column(f"{of} leads by", justify="right")
    table.add_column("and by NDCG", justify="right")
    for name, title in TITLES.items():
        if name in report["last_third"]:
            figures = report["last_third"][name]
            lead = report["against"].get(name)
            style = "bold cyan" if name == of else ""
            table.add_row(
                Text(title, style=style),
                Text(f"{figures['hr10']:.4f}", style=style),
                Text(f"{figures['ndcg10']:.4f}", style=style),
                between(lead["hr10"]) if lead else "",
                between(lead["ndcg10"]) if lead else "",
            )
    return table


def _passes(report: Mapping[str, Any]) -> Table:
    table = _table("The passes", "", *(name for name in LIVE if name in report["passes"]))
    passes = [report["passes"][name] for name in LIVE if name in report["passes"]]

    def row(name: str, of: Any) -> None:
        table.add_row(name, *(of(one) for one in passes))

    row("events sent", lambda one: f"{one['sent']:,}")
    row("lists that came", lambda one: f"{one['lists']:,}")
    row("lists lost", lambda one: f"{one['lost']:,}")
    row("lists after their deadline", lambda one: f"{one['late']:,}")
    row("lists without the model", lambda one: _degraded(one["degraded"]))
    row("event to list, p50 / p99", lambda one: " / ".join(_ms(one["event_to_list_ms"][p]) for p in ("p50", "p99")))
    counted = ("versions", "promoted", "rolled_back")
    row("versions made, promoted, rolled back", lambda one: ", ".join(f"{one['learned'][of]:,}" for of in counted))
    row("seconds to prepare, to replay", lambda one: f"{one['preparing_seconds']:,.0f}, {one['seconds']:,.0f}")
    row("lists a second", lambda one: f"{one['lists'] / one['seconds']:.1f}" if one["seconds"] else "-")
    row("load of the machine, before and after", lambda one: f"{one['load'][0]:.1f}, {one['load'][1]:.1f}")
    return table


def _along(report: Mapping[str, Any]) -> Table:
    course = report["along"]
    names = [name for name in LIVE if name in course["hr10"]]
    table = _table("HR@10 along the stream, by twentieth", "part", "likes", *names)
    table.add_column(names[0] if names else "", justify="left")
    most = max((value for name in names for value in course["hr10"][name] if value is not None), default=0.0) or 1.0
    for part, tests in enumerate(course["tests"]):
        values = [course["hr10"][name][part] for name in names]
        if all(value is None for value in values):
            continue
        edges = f"{100 * course['edges'][part]:.0f}-{100 * course['edges'][part + 1]:.0f}%"
        bar = "█" * round(BAR * (values[0] or 0.0) / most)
        table.add_row(edges, f"{tests:,}", *(_ratio(value) for value in values), Text(bar, style="cyan"))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left")
    return table


def _degraded(reasons: Mapping[str, int]) -> str:
    return f"{sum(reasons.values()):,}" + (f" ({', '.join(sorted(reasons))})" if reasons else "")


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"
