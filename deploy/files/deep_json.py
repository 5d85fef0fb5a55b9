"""Detect JSON nested too deeply, which would overflow the stack of recursive readers."""

import re

DEEPEST_JSON = 64
TOO_DEEP = f"nested more than {DEEPEST_JSON} levels deep"

_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_MARKS = re.compile(r"[\[{\]}]")


def depth(text: str) -> int:
    """The nesting depth of objects and lists in valid JSON, counted up to one level above the maximum.

    >>> depth('{"a": [1, {"b": "[[["}]}')
    3
    """
    deepest = now = 0
    for mark in _MARKS.finditer(_STRINGS.sub("", text)):
        now += 1 if mark[0] in "[{" else -1
        deepest = max(deepest, now)
        if deepest > DEEPEST_JSON:
            break
    return deepest


def maybe_too_deep(column: str) -> str:
    """SQL for whether there are enough brackets for JSON that is too deep, which is rare."""
    return f"length({column}) - length(replace(replace({column}, '{{', ''), '[', '')) > {DEEPEST_JSON}"
