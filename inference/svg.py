"""The elements of an SVG drawing, for all plots. Coordinates are in pixels; callers round them to a tenth."""

from collections.abc import Iterable, Sequence
from html import escape


def text(x: float | str, y: float | str, said: str, *, anchor: str = "", extra: str = "") -> str:
    """`said`, escaped, at a baseline; `anchor` is start, middle or end, and `extra` holds further attributes."""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x}" y="{y}"{placed}{f" {extra}" if extra else ""}>{escape(said)}</text>'


def path(data: str, extra: str) -> str:
    return f'<path d="{data}" {extra}/>'


def through(points: Iterable[tuple[float, float]]) -> str:
    """The data of a path through points; empty if there are none."""
    joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f"M{joined}" if joined else ""


def dot(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'


def drawing(width: int, height: int, label: str, parts: Sequence[str], *, style: str | None = None) -> str:
    """An inline SVG; `label` says what it shows, for screen readers. With a `style`, it stands alone as a file."""
    space = "" if style is None else 'xmlns="http://www.w3.org/2000/svg" '
    css = "" if style is None else f"<style>{style}</style>"
    inner = f"{css}{''.join(parts)}"
    return f'<svg {space}viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{inner}</svg>'
