"""Line charts as self-contained SVG, for light and dark mode. Pure."""

from collections.abc import Callable, Sequence
from html import escape
from math import isfinite, log10
from typing import NamedTuple

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 200, 36, 40
COLOURS = ("#2f6f9f", "#c2573a", "#4b8b3b", "#8a5fb0", "#b8860b", "#3a9d9d", "#a0526f", "#6b6b6b", "#d1793f")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.grid{stroke:#ddd}.mark{stroke:#888;stroke-dasharray:4 3}"
    ".line{fill:none;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}}"
)


class Line(NamedTuple):
    """A line's values, one per position on the axis; non-finite ones are left out."""

    name: str
    values: Sequence[float]


def chart(title: str, places: Sequence[float], lines: Sequence[Line], *, log: bool = True, mark: float = 0.0) -> str:
    """Lines over ascending `places`, on logarithmic axes if `log`. `mark`: a dashed line at that value, if above 0."""
    shown = [value for line in lines for value in line.values if isfinite(value)] + ([mark] if mark else [])
    low, high = (min(shown), max(shown)) if log else (0.0, 1.1 * max(shown))
    across, up = _scale(places[0], places[-1], log), _scale(low, high, log)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * across(value)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up(value)

    parts = [f'<text x="{LEFT}" y="18">{escape(title)}</text>']
    for value in _ticks(low, high, log):
        parts.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,.4g}</text>')
    parts += [
        f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:,.4g}</text>'
        for value in (places if len(places) <= 12 else _ticks(places[0], places[-1], log))
    ]
    if mark:
        parts.append(f'<path class="mark" d="M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}"/>')
    ends = []
    for line, colour in zip(lines, COLOURS * len(lines), strict=False):
        points = [(x(at), y(value)) for at, value in zip(places, line.values, strict=True) if isfinite(value)]
        if points:
            path = "L".join(f"{right:.1f} {down:.1f}" for right, down in points)
            parts.append(f'<path class="line" stroke="{colour}" d="M{path}"/>')
            ends.append((points[-1], line.name, colour))
    lowest = 0.0
    for (_, down), name, colour in sorted(ends, key=lambda end: end[0][1]):
        lowest = max(down, lowest + 14)
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{lowest + 4:.1f}" style="fill:{colour}">{escape(name)}</text>')
    height = max(HEIGHT, int(lowest) + 10)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _scale(low: float, high: float, log: bool) -> Callable[[float], float]:
    """A function that maps low to 0 and high to 1."""
    if log:
        bottom, span = log10(low), log10(high) - log10(low)
        return lambda value: (log10(value) - bottom) / (span or 1.0)
    return lambda value: (value - low) / ((high - low) or 1.0)


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Round numbers between low and high."""
    if log:
        found = [step * 10.0**power for power in range(-4, 7) for step in (1, 2, 5)]
        return [value for value in found if low * 0.999 <= value <= high * 1.001]
    size = 10.0 ** int(log10((high - low) or 1.0))
    size = size if (high - low) / size >= 4 else size / 4
    return [size * number for number in range(int(low / size), int(high / size) + 1) if size * number >= low]
