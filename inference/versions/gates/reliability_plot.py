"""The reliability diagram of a version as an SVG file, in light and dark. Pure."""

from collections.abc import Sequence

from inference.svg import dot, drawing, path, text
from inference.versions.gates.calibration import Bin

SIZE, LEFT, TOP, BOTTOM = 320, 56, 34, 44
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.frame,.right{fill:none;stroke:#bbb}.right{stroke-dasharray:4 3}"
    ".chance{stroke:#999;stroke-width:5;opacity:.45}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}.frame,.right{stroke:#555}}"
)


def reliability(bins: Sequence[Bin], title: str) -> str:
    """One point for each bin: the share that was liked next over the mean prediction. Bars are where 95% of the points
    of a calibrated version would be, the dashed line is where predictions are right."""
    most = max([each for one in bins for each in (one.predicted, one.taken, one.high)], default=0.0) * 1.05 or 1.0

    def x(value: float) -> float:
        return LEFT + SIZE * value / most

    def y(value: float) -> float:
        return TOP + SIZE * (1 - value / most)

    parts = [
        text(LEFT, 20, title),
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{SIZE}" height="{SIZE}"/>',
        path(f"M{LEFT} {TOP + SIZE}L{LEFT + SIZE} {TOP}", 'class="right"'),
    ]
    for one in bins:
        parts.append(path(f"M{x(one.predicted):.1f} {y(one.low):.1f}V{y(one.high):.1f}", 'class="chance"'))
        parts.append(dot(x(one.predicted), y(one.taken), 4, "#2f6f9f"))
    for value in (0.0, most / 2, most):
        parts.append(text(f"{x(value):.1f}", TOP + SIZE + 16, f"{value:.3f}", anchor="middle"))
        parts.append(text(LEFT - 6, f"{y(value) + 4:.1f}", f"{value:.3f}", anchor="end"))
    parts.append(text(LEFT + SIZE / 2, TOP + SIZE + 34, "predicted", anchor="middle"))
    parts.append(text(LEFT, TOP - 3, "liked next"))
    return drawing(LEFT + SIZE + 40, TOP + SIZE + BOTTOM, title, parts, style=STYLE) + "\n"
