"""Paths into records."""

from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from streams.mapping.paths import Parsed, first_of, getter, parse
from tests.streams.mapping.records import Given

VALUE = {"a": {"b": [{"c": 1}, {"c": 2}, {}], "d.e": "dotted"}, "n": None, "list": [[1, 2], [3]]}
RECORD = Given(b"", "shop", 2, 9, 1_234, b"k-1", (("tenant", b"acme"), ("tenant", b"last")))


def at(path: str, value: Any = VALUE, key: Any = None) -> Any:
    return getter(parse(path))(Parsed(RECORD, value, {"ts_ms": 5}, lambda _: key))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b[0].c", 1),
        ("a.b[-2].c", 2),
        ("a.b[3].c", None),
        ("a.b[-4].c", None),
        ("a.b[*].c", [1, 2]),
        ("list[*]", [1, 2, 3]),
        ('a."d.e"', "dotted"),
        ('"a"."d.e"', "dotted"),
        ("n", None),
        ("n.more", None),
        ("a.b.c", None),
        ("a[0]", None),
        ("missing", None),
        ("@topic", "shop"),
        ("@partition", 2),
        ("@offset", 9),
        ("@timestamp", 1_234),
        ("@headers.tenant", "last"),
        ("@headers.other", None),
        ("@envelope.ts_ms", 5),
    ],
)
def test_path_finds(path: str, found: Any) -> None:
    assert at(path) == found


def test_key_is_decoded_once_and_walked() -> None:
    calls = []

    def decode(key: bytes | None) -> Any:
        calls.append(key)
        return {"id": 4}

    parsed = Parsed(RECORD, {}, None, decode)
    assert getter(parse("@key.id"))(parsed) == 4
    assert getter(parse("@key"))(parsed) == {"id": 4}
    assert calls == [b"k-1"]


def test_first_path_with_data_counts() -> None:
    get = first_of(tuple(getter(parse(path)) for path in ("n", "missing", "a.b[1].c", "a.b[0].c")))
    assert get(Parsed(RECORD, VALUE, None, lambda _: None)) == 2


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "a path is empty"),
        (" ", "a path is empty"),
        ("@user", "there is no @user: there are @key, @headers"),
        ("@topic.name", "@topic has no fields"),
        ("@headers", "a header is named like"),
        ("@headers.a.b", "a header is named like"),
        ("@envelope", "a field of the envelope is named like"),
        ("@keyid", "there is no @keyid"),
        (".a", "a path begins with a name"),
        ("a..b", "cannot be read at character 2"),
        ("a[x]", "cannot be read at character 2"),
        ("a[1", "cannot be read at character 2"),
        ("a.", "cannot be read at character 2"),
        ("a" * 121, "at most 120 characters"),
        (".".join("a" * 17), "at most 16 steps"),
    ],
)
def test_wrong_path_is_refused(path: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("[", r"\[")):
        parse(path)


@drawn(st.text(alphabet='ab.[]0-1*"@key ', max_size=20))
def test_any_text_is_a_path_or_a_value_error(text: str) -> None:
    try:
        path = parse(text)
    except ValueError:
        return
    at(text, key={"a": [1]})
    assert path.text == text.strip()
