"""How a training went, as one SVG that stands alone, in light and dark. Pure."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 60, 60, 34, 34
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.frame{fill:none;stroke:#bbb}.loss{stroke:#c2573a}"
    ".ndcg{stroke:#2f6f9f}.line{fill:none;stroke-width:2}.best{stroke:#888;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.frame{stroke:#555}}"
)


def curves(losses: Sequence[float], ndcgs: Sequence[float], best: int, title: str) -> str:
    """The loss after each of E epochs, and the validation before the first and after each, E + 1 numbers; `best`
    marks an epoch, from 0, or none below that."""
    steps = max(1, len(losses))
    parts = [f'<text x="{LEFT}" y="20">{escape(title)}</text>']
    parts.append(
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    )
    if best >= 0:
        x = _x(best + 1, steps)
        parts.append(f'<path class="best" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    series = (
        ("loss", list(enumerate(losses, 1)), LEFT - 6, "end"),
        ("ndcg", list(enumerate(ndcgs)), WIDTH - 54, "start"),
    )
    for name, points, x, anchor in series:
        values = [value for _, value in points]
        low, high = min(values, default=0.0), max(values, default=1.0)
        path = "L".join(f"{_x(at, steps):.1f} {_y(value, low, high):.1f}" for at, value in points)
        if path:
            parts.append(f'<path class="line {name}" d="M{path}"/>')
        parts += [
            f'<text x="{x}" y="{_y(value, low, high) + 4:.1f}" text-anchor="{anchor}">{value:.3f}</text>'
            for value in sorted({low, high})
        ]
    parts += [
        f'<text x="{_x(at, steps):.1f}" y="{HEIGHT - 14}" text-anchor="middle">{at}</text>'
        for at in range(0, steps + 1, max(1, steps // 10))
    ]
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 1}" text-anchor="middle">epochs</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 3}">loss</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{TOP - 3}" text-anchor="end">validation NDCG@10</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + 6}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _x(epoch: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * epoch / steps


def _y(value: float, low: float, high: float) -> float:
    room = HEIGHT - TOP - BOTTOM - 24
    return HEIGHT - BOTTOM - 12 - room * (value - low) / ((high - low) or 1.0)
