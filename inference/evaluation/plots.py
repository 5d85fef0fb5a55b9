"""Plots as inline SVG, coloured by the page's CSS variables, so that one drawing serves light and dark. Pure."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil
from typing import NamedTuple

WIDTH = 760
ROW = 26
NAMES = 190
"""Width left for the names of bars and for the labels at the ends of lines."""

COLOURS = 8


class Bar(NamedTuple):
    """A figure with its interval, if there is one; `strong` stands out."""

    name: str
    mean: float
    low: float | None
    high: float | None
    strong: bool = False


def bars(rows: Sequence[Bar], label: str) -> str:
    """Horizontal bars from 0, each with its interval and its figure. `label` says what is drawn, for screen readers."""
    top = _ceiling([row.mean if row.high is None else row.high for row in rows])
    span, right = WIDTH - NAMES - 70, 70
    parts = []
    for at, row in enumerate(rows):
        y = at * ROW + 4
        middle = y + 9

        def x(value: float) -> float:
            return NAMES + span * value / top

        parts.append(
            f'<text x="{NAMES - 10}" y="{middle + 4}" text-anchor="end" class="{"strong" if row.strong else ""}">'
            f"{escape(row.name)}</text>"
            f'<rect x="{NAMES}" y="{y}" width="{x(row.mean) - NAMES:.1f}" height="18" rx="2"'
            f' fill="var(--{"c0" if row.strong else "bar"})"/>'
        )
        if row.low is not None and row.high is not None:
            parts.append(
                f'<path d="M{x(row.low):.1f} {middle}H{x(row.high):.1f}M{x(row.low):.1f} {middle - 4}v8'
                f'M{x(row.high):.1f} {middle - 4}v8" class="whisker"/>'
            )
        parts.append(f'<text x="{WIDTH - right + 62}" y="{middle + 4}" text-anchor="end">{row.mean:.4f}</text>')
    return _svg(len(rows) * ROW + 8, label, parts)


def differences(rows: Sequence[Bar], label: str) -> str:
    """Differences as points with their intervals, beside a line at 0."""
    ends = [value for row in rows for value in (row.low, row.mean, row.high) if value is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    span = WIDTH - NAMES - 160

    def x(value: float) -> float:
        return NAMES + 10 + span * (value - low) / ((high - low) or 1.0)

    height = len(rows) * ROW + 8
    parts = [f'<path d="M{x(0):.1f} 0V{height}" class="axis"/>']
    for at, row in enumerate(rows):
        middle = at * ROW + 13
        line, told = "", "no interval"
        if row.low is not None and row.high is not None:
            line = f'<path d="M{x(row.low):.1f} {middle}H{x(row.high):.1f}" stroke="var(--c0)" stroke-width="2"/>'
            told = f"{row.low:+.4f} to {row.high:+.4f}"
        parts.append(
            f'<text x="{NAMES - 10}" y="{middle + 4}" text-anchor="end">{escape(row.name)}</text>{line}'
            f'<circle cx="{x(row.mean):.1f}" cy="{middle}" r="4" fill="var(--c0)"/>'
            f'<text x="{WIDTH - 8}" y="{middle + 4}" text-anchor="end">{told}</text>'
        )
    return _svg(height, label, parts)


def lines(
    series: Mapping[str, Sequence[float | None]],
    ticks: Sequence[str],
    label: str,
    *,
    colours: Sequence[str] = (),
    marks: Sequence[float] = (),
    between: bool = False,
    height: int = 300,
) -> str:
    """One line a series over evenly spaced `ticks`, its name at its end. None is left out.

    `colours`: names in the order of their colours, so that a name has the same in every plot; the first is thickest.
    `between`: values belong to the spaces between ticks. `marks`: dashed uprights, as shares of the width.
    """
    top = _ceiling([value for values in series.values() for value in values if value is not None])
    left, bottom = 46, height - 28
    width = WIDTH - left - NAMES
    steps = max(1, len(ticks) - 1)

    def x(place: float) -> float:
        return left + width * place / steps

    def y(value: float) -> float:
        return bottom - (bottom - 12) * value / top

    parts = []
    for part in range(5):
        value = top * part / 4
        parts.append(
            f'<path d="M{left} {y(value):.1f}H{left + width}" class="grid"/>'
            f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.{_digits(top)}f}</text>'
        )
    parts += [f'<path d="M{x(mark * steps):.1f} 12V{bottom}" class="mark"/>' for mark in marks]
    parts += [
        f'<text x="{x(at):.1f}" y="{height - 8}" text-anchor="middle">{escape(tick)}</text>'
        for at, tick in enumerate(ticks)
    ]
    ends: list[tuple[float, str, int]] = []
    order = list(colours or series)
    for name in sorted(series, key=order.index, reverse=True):
        number, values = order.index(name), series[name]
        points = [(x(at + 0.5 * between), y(value)) for at, value in enumerate(values) if value is not None]
        if not points:
            continue
        colour = number % COLOURS
        path = "M" + "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
        parts.append(
            f'<path d="{path}" fill="none" stroke="var(--c{colour})" stroke-width="{2.5 if number == 0 else 1.5}"/>'
        )
        parts += [
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="2.5" fill="var(--c{colour})"/>' for across, down in points
        ]
        ends.append((points[-1][1], name, colour))
    lowest = 0.0
    for down, name, colour in sorted(ends):
        lowest = max(down, lowest + 14)
        parts.append(
            f'<text x="{left + width + 10}" y="{lowest + 4:.1f}" style="fill:var(--c{colour})">{escape(name)}</text>'
        )
    return _svg(max(height, int(lowest) + 10), label, parts)


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _ceiling(values: Sequence[float]) -> float:
    """The end of an axis, at or above all values (0 to 1), whose quarters are round."""
    most = max(values, default=0.0)
    return next((top for top in (0.004, 0.008, 0.02) if most <= top), min(1.0, ceil(most / 0.04 - 1e-9) * 0.04))


def _digits(top: float) -> int:
    return 2 if top >= 0.04 else 3
