"""The report of `ouzel ope`, for the terminal and as JSON. Pure."""

import math
from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from inference.off_policy.comparison import LOGGED, Comparison, Estimate, Verdict
from schemas.shown import shown_in_line

COLORS = {"better": "green", "worse": "red", "unknown": "yellow"}
MEANINGS = {
    "better": "earns more than the logged policy",
    "worse": "earns less than the logged policy",
    "undecided": "is not told apart from the logged policy",
    "unknown": "cannot be judged by this log",
}


def tables(found: Comparison, note: str, places: int) -> Iterator[RenderableType]:
    """The report, in display order."""
    of = "a decision" if places == 1 else f"the first {places} places of a list"
    table = Table(
        title=Text(f"Reward of {of}, estimated from {note.partition(';')[0]}"), title_justify="left", box=None,
        padding=(0, 2, 0, 0), header_style="bold", pad_edge=False,
    )  # fmt: skip
    table.add_column("policy")
    table.add_column("estimator")
    for name in ("value", "95% interval", "to logged", "95% interval", "effective", "support"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for each in found.estimates:
        table.add_row(
            Text(shown_in_line(each.policy) if each.policy != last else ""),
            each.estimator,
            _number(each.value),
            _between(each.low, each.high),
            "" if each.policy == LOGGED else _number(each.difference, sign=True),
            "" if each.policy == LOGGED else _between(each.lowest, each.highest),
            "" if each.overlap is None else f"{each.overlap.effective:,.0f}",
            "" if each.overlap is None else f"{each.overlap.support:.2f}",
        )
        last = each.policy
    yield table
    yield Text()
    for verdict in found.verdicts:
        yield _sentence(verdict)
    yield Text()
    yield Text(
        f"effective: how many lists of weight 1 say as much. support: the mean weight, which is 1 if everything that "
        f"the policy shows could have been logged. {found.certain:.0%} of the logged places were certain.\n"
        f"Read: {shown_in_line(note)}",
        style="dim",
    )


def as_json(found: Comparison, note: str, places: int) -> dict[str, Any]:
    """The report as plain data; what cannot be computed is null."""
    return {
        "places": places,
        "read": note,
        "certain": found.certain,
        "estimates": [_estimate(each) for each in found.estimates],
        "verdicts": [
            {
                "policy": each.policy,
                "estimator": each.estimator,
                "verdict": each.says,
                "why": list(each.why),
                "anytime": None if each.anytime is None else list(each.anytime),
            }
            for each in found.verdicts
        ],
    }


def _estimate(each: Estimate) -> dict[str, Any]:
    overlap = each.overlap
    return {
        "policy": each.policy,
        "estimator": each.estimator,
        "value": _finite(each.value),
        "low": each.low,
        "high": each.high,
        "difference": _finite(each.difference),
        "difference_low": each.lowest,
        "difference_high": each.highest,
        "effective": None if overlap is None else overlap.effective,
        "support": None if overlap is None else overlap.support,
        "clipped": None if overlap is None else overlap.clipped,
        "rewarded": None if overlap is None else overlap.rewarded,
    }


def _sentence(verdict: Verdict) -> Text:
    found = Text.assemble(
        (shown_in_line(verdict.policy), "bold"),
        " ",
        (MEANINGS[verdict.says], COLORS.get(verdict.says, "")),
        f" ({verdict.estimator})",
        f": {'; '.join(verdict.why)}." if verdict.why else ".",
    )
    if verdict.anytime is not None:
        low, high = verdict.anytime
        found.append(f" At every length of the log: {low:.4g} to {high:.4g}.")
    return found


def _number(value: float, *, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.4f}" if math.isfinite(value) else "none"


def _between(low: float | None, high: float | None) -> str:
    return f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "none"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
