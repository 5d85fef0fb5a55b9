"""Every row of a file is accounted for, with any content."""

import csv
import io
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy.errors import BadSource
from deploy.files.event_files import EventFile
from deploy.files.item_files import item_file
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
