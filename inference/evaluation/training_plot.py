"""The curves of a training as an SVG file, in light and dark. Pure."""

from collections.abc import Sequence

from inference.svg import drawing, path, text, through

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
    parts = [text(LEFT, 20, title)]
    parts.append(
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    )
    if best >= 0:
        x = _x(best + 1, steps)
        parts.append(path(f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}", 'class="best"'))
    series = (
        ("loss", list(enumerate(losses, 1)), LEFT - 6, "end"),
        ("ndcg", list(enumerate(ndcgs)), WIDTH - 54, "start"),
    )
    for name, points, x, anchor in series:
        values = [value for _, value in points]
        low, high = min(values, default=0.0), max(values, default=1.0)
        data = through((_x(at, steps), _y(value, low, high)) for at, value in points)
        if data:
            parts.append(path(data, f'class="line {name}"'))
        parts += [
            text(x, f"{_y(value, low, high) + 4:.1f}", f"{value:.3f}", anchor=anchor) for value in sorted({low, high})
        ]
    parts += [
        text(f"{_x(at, steps):.1f}", HEIGHT - 14, str(at), anchor="middle")
        for at in range(0, steps + 1, max(1, steps // 10))
    ]
    parts.append(text(WIDTH / 2, HEIGHT - 1, "epochs", anchor="middle"))
    parts.append(text(LEFT, TOP - 3, "loss"))
    parts.append(text(WIDTH - RIGHT, TOP - 3, "validation NDCG@10", anchor="end"))
    return drawing(WIDTH, HEIGHT + 6, title, parts, style=STYLE) + "\n"


def _x(epoch: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * epoch / steps


def _y(value: float, low: float, high: float) -> float:
    room = HEIGHT - TOP - BOTTOM - 24
    return HEIGHT - BOTTOM - 12 - room * (value - low) / ((high - low) or 1.0)
