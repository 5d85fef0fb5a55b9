"""The figures of a watched run, as plain data and for the terminal. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from deploy.replay.judge import JUDGED, Verdict
from deploy.replay.scoreboard import Board
from deploy.replay.terminal import METHODS, QUIET, milliseconds
from schemas.shown import shown_in_line

WITHOUT_MODEL = 0.02
"""If a larger share of lists was made without the model, print why."""


def summary(board: Board, verdict: Verdict, seconds: float) -> dict[str, Any]:
    """The figures of a run of `seconds` as plain data; a ratio or time that was not measured is null."""
    percentiles = {f"p{p}": board.event_to_list.percentile(p) for p in (50, 95, 99)}
    return {
        "events": board.events,
        "events_per_second": round(board.events / seconds, 2) if seconds > 0 else None,
        "lists": board.lists,
        "degraded": board.degraded.total(),
        "degraded_by_reason": dict(board.degraded),
        "dead_letters": board.dead_letters.total(),
        "event_to_list_ms": {name: None if ms is None else round(ms, 1) for name, ms in percentiles.items()},
        "hit_ratio": {name: verdict.ratio(name) for name in verdict.hits},
        "tests": verdict.tests,
        "likes_of_seen_items": verdict.seen,
    }


def summary_table(figures: Mapping[str, Any]) -> RenderableType:
    """The figures of `summary` for the terminal."""
    table = Table(box=box.SIMPLE_HEAD, title="Summary", title_justify="left", title_style="bold", show_header=False)
    table.add_column(style=QUIET)
    table.add_column(justify="right")
    share = f" ({100 * figures['degraded'] / figures['lists']:.1f}%)" if figures["lists"] else ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(figures["degraded_by_reason"].items()))
    times = figures["event_to_list_ms"]
    rate = figures["events_per_second"]
    table.add_row("events in", f"{figures['events']:,}" + ("" if rate is None else f" ({rate:.1f}/s)"))
    table.add_row("lists out", f"{figures['lists']:,}")
    table.add_row("lists without the model", f"{figures['degraded']:,}{share}" + (f": {reasons}" if reasons else ""))
    table.add_row("dead letters", f"{figures['dead_letters']:,}")
    read = figures.get("films_read")
    if read:
        table.add_row("films read at the start / end", f"{read['begin']:,} / {read['end']:,} of {read['of']:,}")
    table.add_row("event to list, p50 / p95 / p99", " / ".join(milliseconds(times[p]) for p in ("p50", "p95", "p99")))
    table.add_section()
    table.add_row(f"next like among the first {JUDGED}", f"share of {figures['tests']:,} tests")
    for name, label in METHODS.items():
        if name in figures["hit_ratio"]:
            ratio = figures["hit_ratio"][name]
            style = "bold cyan" if name == "ouzel" else ""
            table.add_row(f"  {label}", Text("-" if ratio is None else f"{ratio:.3f}", style=style))
    judged = figures.get("judged")
    if judged and judged["likes"]:
        table.add_section()
        table.add_row("gain from the model", f"share of {judged['likes']:,} likes")
        for of, label in (("list", "lists as published"), ("without_model", "the same lists without the model")):
            table.add_row(f"  {label}", f"{judged[of] / judged['likes']:.3f}")
    versions = figures.get("versions")
    if versions and versions["live"] is not None:
        table.add_section()
        counts = f"{versions['promoted']:,} / {versions['withdrawn']:,} of {versions['made'] - 1:,}"
        table.add_row("versions promoted / withdrawn", counts)
        table.add_row("  live at the end", f"version {versions['live']}")
        if versions["verdict"]:
            table.add_row("  last verdict", shown_in_line(versions["verdict"]))
    return table


def why_without_model(figures: Mapping[str, Any], deadline_ms: int, log: Path) -> str:
    """The main reason if more than `WITHOUT_MODEL` of the lists were made without the model, with the next step; else
    empty."""
    if figures["degraded"] <= WITHOUT_MODEL * figures["lists"]:
        return ""
    reason = max(figures["degraded_by_reason"], key=figures["degraded_by_reason"].get)
    if reason in {"unavailable", "circuit_open", "invalid"}:
        step = f"tritonserver did not answer: see {log}."
    else:
        step = f"the model missed its deadline of {deadline_ms:,} ms: stop other programs, or use more cores."
    share = 100 * figures["degraded"] / figures["lists"]
    return f"{share:.1f}% of the lists were made without the model; {step}"
