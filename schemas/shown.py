"""Escape untrusted text for terminals and logs: titles, ids, names of files and topics, errors.

Terminals act on control characters and bidirectional marks: a title could rename the window, hide the text before it,
or look like another title. These functions escape such characters and change nothing else.
"""

import re

_CONTROLS = "\x00-\x09\x0b-\x1f\x7f-\x9f"
_TURNS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_BREAKS = "\u2028\u2029"
_HALVES = "\ud800-\udfff"  # lone surrogates: how Python represents file names that are not UTF-8
_ACTING = re.compile(f"[{_CONTROLS}{_TURNS}{_BREAKS}{_HALVES}]")
_ACTING_OR_ENDS = re.compile(f"[\n{_CONTROLS}{_TURNS}{_BREAKS}{_HALVES}]")


def shown(text: str) -> str:
    """`text` with the characters that a terminal acts on escaped, except line feeds.

    >>> shown("\x1b[2Jan\u202etitle")
    '\\\\x1b[2Jan\\\\u202etitle'
    """
    return text if text.isascii() and text.isprintable() else _ACTING.sub(_written, text)


def shown_in_line(text: str) -> str:
    """Like `shown`, with line feeds escaped too: the result is one line."""
    return text if text.isascii() and text.isprintable() else _ACTING_OR_ENDS.sub(_written, text)


def shown_json(json: str) -> str:
    r"""Like `shown` for a line of JSON, with JSON escapes: the parsed value stays the same.

    >>> shown_json('"a\u202eb"')
    '"a\\u202eb"'
    """
    return json if json.isascii() and json.isprintable() else _ACTING.sub(_escaped, json)


def _written(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number == 0x0A:
        return "\\n"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
