"""Plots: what is drawn stands where it should."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.plots import NAMES, WIDTH, Bar, bars, differences, lines

FIGURES = st.floats(0.0, 1.0).map(lambda value: round(value, 4))


def numbers(svg: str, pattern: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, svg)]


@given(st.lists(FIGURES, min_size=1, max_size=6))
def test_bars_have_the_right_length_and_stay_inside(values):
    drawn = bars([Bar(f"m<{at}>", value, value / 2, value) for at, value in enumerate(values)], "a & b")
    ElementTree.fromstring(drawn)
    widths = numbers(drawn, r'<rect[^>]* width="([\d.]+)"')
    assert all(NAMES + width <= WIDTH - 70 + 0.1 for width in widths)
    longest = max(values)
    for width, value in zip(widths, values, strict=True):
        assert width * longest == pytest.approx(max(widths) * value, abs=0.2)


@given(st.dictionaries(st.text("abc<&", min_size=1, max_size=4), st.lists(FIGURES | st.none(), min_size=3, max_size=3)))
def test_lines_have_all_points_and_labels_do_not_overlap(series):
    drawn = lines(series, ["1", "2", "3"], "label", marks=[0.5])
    root = ElementTree.fromstring(drawn)
    points = sum(value is not None for values in series.values() for value in values)
    assert drawn.count("<circle") == points
    labels = [float(one.get("y") or "nan") for one in root if one.tag == "text" and one.get("style")]
    labels.sort()
    assert all(after - before >= 13.9 for before, after in pairwise(labels))


def test_negative_difference_is_drawn_on_the_other_side_of_zero():
    drawn = differences([Bar("worse", -0.02, -0.03, -0.01), Bar("better", 0.02, 0.01, 0.03)], "label")
    nothing = numbers(drawn, r'<path d="M([\d.]+) 0V')[0]
    worse, better = numbers(drawn, r'<circle cx="([\d.]+)"')
    assert worse < nothing < better
    assert better - nothing == pytest.approx(nothing - worse, abs=0.2)
