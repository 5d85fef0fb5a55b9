"""Every row of a file is accounted for, with any content."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from deploy.errors import BadSource
from deploy.files.event_files import EventFile
from deploy.files.item_files import item_file
from deploy.files.nested_columns import widen
from deploy.files.sources import EventColumns
from schemas.codec import decode_event, encode

CELLS = st.one_of(
    st.sampled_from(
        ["u1", "i1", "5", "4.5", "1600000000", "nan", "", "-1", '"', 'a "b" c', "x,y", "two\nlines", "11", "é"]
    ),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=8),
)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=12)
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@QUIET
@given(rows=TABLES, drop=st.booleans(), missing=st.booleans())
@example(rows=[("u1", "i1", "5", "1600000000")] * 3, drop=True, missing=False)
@example(rows=[("two\nlines", "\\", "u1", "\\")], drop=False, missing=False)
def test_used_rejected_and_dropped_add_up_to_all_rows(
    tmp_path: Path, rows: list[tuple[str, ...]], drop: bool, missing: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    path = tmp_path / "e.csv"
    path.write_text("user,item,rating,time\n" + out.getvalue(), encoding="utf-8", newline="")
    wanted = EventColumns(rating_max=5, time_format="s", keep_missing=missing, duplicates="drop" if drop else "keep")
    with EventFile(path, wanted) as file:
        events = list(file)
        assert file.tally.used == len(events)
        assert file.tally.rows == len(rows)
        assert len({event.id for event in events}) == len(events)
        for event in events:
            key = event.user.encode()
            assert decode_event(encode(event), key=key, now_ms=2**53, accepted_from_ms=0) == event


RAGGED = st.lists(st.sampled_from(["u", 'i"', '"5', "5", "1600000000", "x", '"']), min_size=1, max_size=6)
HEADS = (b"user,item,rating,ts\n", b"user\titem\trating\tts\n", b'{"user": "u"}\n', b"PAR1", b"")


@QUIET
@given(cells=st.lists(RAGGED, min_size=1, max_size=30))
def test_stray_marks_and_ragged_lines_lose_no_line(tmp_path: Path, cells: list[list[str]]) -> None:
    lines = [",".join(row) for row in cells]
    path = tmp_path / "e.csv"
    path.write_text("user,item,rating,time\n" + "\n".join(lines) + "\n")
    with EventFile(path, EventColumns(rating_max=5, time_format="s")) as file:
        # A field over several lines is one row: here only where the marks are those of such a field.
        joined = len(lines) - file.tally.rows
        assert 0 <= joined < len(lines) or not joined
        if not any('"' in line for line in lines):
            assert joined == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(HEADS), st.booleans())
@example(b'a,b,c,"unclosed', b"user,item,rating,ts\n", True)
@example(b"a,b,c,\x00\n1,2,3,4", b"user,item,rating,ts\n", True)
def test_reader_survives_any_bytes(tmp_path: Path, tail: bytes, head: bytes, events: bool) -> None:
    path = tmp_path / "fuzz"
    path.write_bytes(head + tail)
    try:
        with EventFile(path) if events else item_file(path) as file:
            assert len(list(file)) == file.tally.used
    except BadSource:
        return


@pytest.mark.parametrize("kind", ["lines", "csv", "parquet"])
def test_articles_are_read_with_every_row(tmp_path: Path, kind: str) -> None:
    """Texts as long as those of news or reviews, in a file of 25 MB: some have no text, others an object instead."""
    count, path = 3_000, tmp_path / f"articles.{kind}"
    texts = [None if n % 10 == 0 else "word, " * (n % 2_999) for n in range(count)]
    ids = [f"a{n}" for n in range(count)]
    if kind == "parquet":
        parquet.write_table(pyarrow.table({"id": ids, "title": ids, "text": texts}), path)
    elif kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("id", "title", "text"), *zip(ids, ids, texts, strict=True)])
    else:
        with path.open("w", encoding="utf-8") as out:
            for n, (name, text) in enumerate(zip(ids, texts, strict=True)):
                more = {"source": {"name": "x", "since": n} if n % 2 else None}
                out.write(json.dumps({"id": name, "title": name, "text": text, **more}) + "\n")
    with item_file(path) as file:
        found = list(file)
        assert [item.id for item in found] == ids
        assert (file.tally.used, file.tally.bad) == (count, 0)
    assert [bool(item.text) for item in found] == [bool(text) for text in texts]


KEYS = st.sampled_from(["a", "b", "c.d", '"'])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(KEYS, inner, max_size=3)
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=6))
def test_structure_holds_every_key_and_expands_only_what_is_always_an_object(rows: list[dict[str, Any]]) -> None:
    tree: dict[str, Any] = {}
    grown = [widen(tree, row) for row in rows]
    assert set(tree) == {key for row in rows for key in row}
    for key, below in tree.items():
        values = [row[key] for row in rows if row.get(key) is not None]
        assert isinstance(below, dict) == all(isinstance(value, dict) for value in values)
    assert not any(widen(tree, row) for row in rows)
    assert any(grown) == bool(tree)
