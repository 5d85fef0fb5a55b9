"""Plots as inline SVG, coloured by the page's CSS variables, so that they suit light and dark pages. Pure."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from inference.svg import dot, drawing, path, text, through

WIDTH = 760
ROW = 26
NAMES = 190
"""Width reserved for the names of bars and for the labels at the ends of lines."""

COLOURS = 8


class Bar(NamedTuple):
    """A figure with its interval, if any; `strong` highlights it."""

    name: str
    mean: float
    low: float | None
    high: float | None
    strong: bool = False


def bars(rows: Sequence[Bar], label: str) -> str:
    """Horizontal bars from 0, each with its interval and figure. `label` describes the plot for screen readers."""
    top = _ceiling([row.mean if row.high is None else row.high for row in rows])
    span, right = WIDTH - NAMES - 70, 70
    parts = []
    for at, row in enumerate(rows):
        y = at * ROW + 4
        middle = y + 9

        def x(value: float) -> float:
            return NAMES + span * value / top

        parts.append(
            text(NAMES - 10, middle + 4, row.name, anchor="end", extra='class="strong"' if row.strong else "")
            + f'<rect x="{NAMES}" y="{y}" width="{x(row.mean) - NAMES:.1f}" height="18" rx="2"'
            f' fill="var(--{"c0" if row.strong else "bar"})"/>'
        )
        if row.low is not None and row.high is not None:
            ends = f"M{x(row.low):.1f} {middle - 4}v8M{x(row.high):.1f} {middle - 4}v8"
            parts.append(path(f"M{x(row.low):.1f} {middle}H{x(row.high):.1f}{ends}", 'class="whisker"'))
        parts.append(text(WIDTH - right + 62, middle + 4, f"{row.mean:.4f}", anchor="end"))
    return _svg(len(rows) * ROW + 8, label, parts)


def differences(rows: Sequence[Bar], label: str) -> str:
    """Differences as points with their intervals, beside a line at 0."""
    ends = [value for row in rows for value in (row.low, row.mean, row.high) if value is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    span = WIDTH - NAMES - 160

    def x(value: float) -> float:
        return NAMES + 10 + span * (value - low) / ((high - low) or 1.0)

    height = len(rows) * ROW + 8
    parts = [path(f"M{x(0):.1f} 0V{height}", 'class="axis"')]
    for at, row in enumerate(rows):
        middle = at * ROW + 13
        line, told = "", "no interval"
        if row.low is not None and row.high is not None:
            line = path(f"M{x(row.low):.1f} {middle}H{x(row.high):.1f}", 'stroke="var(--c0)" stroke-width="2"')
            told = f"{row.low:+.4f} to {row.high:+.4f}"
        parts.append(
            text(NAMES - 10, middle + 4, row.name, anchor="end")
            + line
            + dot(x(row.mean), middle, 4, "var(--c0)")
            + text(WIDTH - 8, middle + 4, told, anchor="end")
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
    """One line per series over evenly spaced `ticks`, its name at its end. None values are skipped.

    `colours`: names in the order of their colours, so that a name has one colour in all plots; the first is thickest.
    `between`: values belong to the spaces between ticks. `marks`: dashed verticals, as shares of the width.
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
            path(f"M{left} {y(value):.1f}H{left + width}", 'class="grid"')
            + text(left - 6, f"{y(value) + 4:.1f}", f"{value:.{_digits(top)}f}", anchor="end")
        )
    parts += [path(f"M{x(mark * steps):.1f} 12V{bottom}", 'class="mark"') for mark in marks]
    parts += [text(f"{x(at):.1f}", height - 8, tick, anchor="middle") for at, tick in enumerate(ticks)]
    ends: list[tuple[float, str, int]] = []
    order = list(colours or series)
    for name in sorted(series, key=order.index, reverse=True):
        number, values = order.index(name), series[name]
        points = [(x(at + 0.5 * between), y(value)) for at, value in enumerate(values) if value is not None]
        if not points:
            continue
        colour = number % COLOURS
        width_of_line = 2.5 if number == 0 else 1.5
        parts.append(path(through(points), f'fill="none" stroke="var(--c{colour})" stroke-width="{width_of_line}"'))
        parts += [dot(across, down, 2.5, f"var(--c{colour})") for across, down in points]
        ends.append((points[-1][1], name, colour))
    lowest = 0.0
    for down, name, colour in sorted(ends):
        lowest = max(down, lowest + 14)
        parts.append(text(left + width + 10, f"{lowest + 4:.1f}", name, extra=f'style="fill:var(--c{colour})"'))
    return _svg(max(height, int(lowest) + 10), label, parts)


def _svg(height: int, label: str, parts: Sequence[str]) -> str:
    return drawing(WIDTH, height, label, parts)


def _ceiling(values: Sequence[float]) -> float:
    """The end of an axis, at or above all values (0 to 1), whose quarters are round."""
    most = max(values, default=0.0)
    return next((top for top in (0.004, 0.008, 0.02) if most <= top), min(1.0, ceil(most / 0.04 - 1e-9) * 0.04))


def _digits(top: float) -> int:
    return 2 if top >= 0.04 else 3
