"""Files in all supported formats give the same rows, regardless of their names."""

import bz2
import gzip
import json
import lzma
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.errors import BadSource, MissingPart
from deploy.files.event_files import EventFile
from deploy.files.formats import Asked
from deploy.files.sources import EventColumns
from schemas.events import Event

T = 1_600_000_000
ROWS: list[dict[str, Any]] = [
    {"user": f"u{n % 3}", "item": f"é{n}", "rating": n % 5 + 1, "time": T + n} for n in range(20)
]
CSV = "user,item,rating,time\n" + "".join(f"{r['user']},{r['item']},{r['rating']},{r['time']}\n" for r in ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def events(path: Path, **asked: object) -> list[Event]:
    with EventFile(path, EventColumns(text=Asked(**asked))) as file:  # type: ignore[arg-type]
        assert (file.tally.used, file.tally.bad) == (len(ROWS), 0), str(file.tally)
        return list(file)


@pytest.fixture
def wanted(tmp_path: Path) -> list[Event]:
    return events(put(tmp_path, "plain.csv", CSV))


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def quoted(text: str, delimiter: str = ",") -> str:
    return "".join(delimiter.join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in text.splitlines())


def packed_zstd(text: str) -> bytes:
    return bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))


FORMS: dict[str, str | bytes] = {
    "e.GZ": gzip.compress(CSV.encode()),
    "e.json.gz": gzip.compress(LINES.encode()),
    "no-ending": CSV,
    "lies.parquet": CSV,
    "e.bz2": bz2.compress(CSV.encode()),
    "e.xz": lzma.compress(CSV.encode()),
    "e.zst": packed_zstd(CSV),
    "lines.zst": packed_zstd(LINES),
    "bom.csv": "\ufeff" + CSV,
    "quoted.csv": quoted(CSV),
    "bom-quoted.csv": "\ufeff" + quoted(CSV),
    "quoted.tsv": quoted(CSV, "\t"),
    "e.tsv": CSV.replace(",", "\t"),
    "e.csv": CSV.replace(",", ";"),
    "e.txt": CSV.replace(",", "|"),
    "e.dat": CSV.replace(",", "::"),
    "hive": CSV.replace(",", "\x01"),
    "spaces": CSV.replace(",", " "),
    "comment.csv": "# exported on Monday\n# twice\n" + CSV,
    "excel.csv": "sep=;\n" + CSV.replace(",", ";"),
    "r.csv": "\n".join(f"{n},{line}" if n else line for n, line in enumerate(CSV.splitlines())),
    "index.csv": "\n".join(f"{n or ''},{line}" for n, line in enumerate(CSV.splitlines())),
    "windows.csv": CSV.replace("\n", "\r\n"),
    "mac.csv": CSV.replace("\n", "\r"),
    "mixed.csv": CSV.replace("\n", "\r\n", 7),
    "blank-lines.csv": CSV.replace("\n", "\n\n"),
    "no-last-end.csv": CSV.rstrip(),
    "trailing.csv": CSV.replace("\n", ",\n").replace("time,", "time"),
    "latin.csv": CSV.encode("latin-1"),
    "utf16.csv": CSV.encode("utf-16"),
    "utf16le.csv": CSV.encode("utf-16-le"),
    "e.jsonl": LINES,
    "bom.jsonl": "\ufeff" + LINES,
    "latin.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode("latin-1"),
    "array.json": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2),
    "objects.json": "\n".join(json.dumps(row, indent=2) for row in ROWS),
}


@pytest.mark.parametrize("name", FORMS)
def test_file_formats_all_give_the_same_events(tmp_path, wanted, name):
    assert events(put(tmp_path, name, FORMS[name])) == wanted


def test_zip_is_read_only_with_a_single_file(tmp_path, wanted):
    path = tmp_path / "e.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.csv", CSV)
    assert events(path) == wanted
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", CSV)
    with pytest.raises(BadSource, match=r"2 files\. Unpack it"):
        events(path)


def test_guesses_can_be_overridden(tmp_path, wanted):
    assert events(put(tmp_path, "e", CSV.replace(",", "~")), delimiter="~") == wanted
    assert events(put(tmp_path, "t", CSV.replace(",", "\t")), delimiter="tab") == wanted
    cyrillic = CSV.replace("é", "ж").encode("cp1251")
    assert events(put(tmp_path, "c", cyrillic), encoding="cp1251")[0].item == "ж0"
    with pytest.raises(BadSource, match="--encoding nonsense is unknown"):
        events(put(tmp_path, "n", CSV), encoding="nonsense")


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "brotli", "none"])
def test_parquet_is_read_with_any_compression(tmp_path, wanted, compression):
    table = pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]})
    pq.write_table(table, tmp_path / "e", compression=compression)
    assert events(tmp_path / "e") == wanted


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_parquet_is_read_with_any_type_of_time(tmp_path, wanted, unit, zone):
    times = pa.array([row["time"] * 10**9 for row in ROWS]).cast(pa.timestamp("ns", "UTC"))
    times = times.cast(pa.timestamp(unit, "UTC"))
    times = times.cast(pa.timestamp(unit, zone)) if zone else times.cast(pa.int64()).cast(pa.timestamp(unit))
    columns = {name: [row[name] for row in ROWS] for name in ("user", "item", "rating")}
    pq.write_table(pa.table({**columns, "time": times}), tmp_path / "e")
    assert events(tmp_path / "e") == wanted


def test_parquet_is_read_with_common_column_types(tmp_path, wanted):
    columns = {
        "user": pa.array([row["user"].encode() for row in ROWS]),
        "item": pa.array([row["item"] for row in ROWS]).dictionary_encode(),
        "rating": pa.array([row["rating"] for row in ROWS]).cast(pa.decimal128(25, 2)),
        "time": pa.array([float(row["time"]) for row in ROWS]),
    }
    pq.write_table(pa.table(columns), tmp_path / "e")
    assert events(tmp_path / "e") == wanted


def test_duplicate_column_is_named(tmp_path):
    twice = pa.Table.from_arrays(
        [pa.array(["a"])] * 3 + [pa.array([5])] * 2, ["user", "item", "note", "rating", "rating"]
    )
    pq.write_table(twice, tmp_path / "e.parquet")
    for path in (tmp_path / "e.parquet", put(tmp_path, "e.csv", f"user,item,rating,rating,time\nu,i,5,5,{T}\n")):
        with pytest.raises(BadSource, match="the column 'rating' twice"):
            events(path)


def test_nested_objects_are_columns(tmp_path):
    rows = [{"user": {"id": f"u{n}"}, "item": {"id": n}, "event": "Product Viewed", "time": T + n} for n in range(20)]
    path = put(tmp_path, "e.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    for each in (path, tmp_path / "e.parquet"):
        assert [(e.user, e.item) for e in events(each)[:2]] == [("u0", "0"), ("u1", "1")]
        with pytest.raises(BadSource, match=r"'user' of .* holds objects.*--user-column user.id"):
            EventFile(each, EventColumns(user="user"))


def test_mongodb_ids_are_read(tmp_path):
    lines = [{"userId": {"$oid": f"u{n}"}, "item": "i", "rating": 5, "time": T + n} for n in range(20)]
    assert events(put(tmp_path, "e.jsonl", "".join(json.dumps(line) + "\n" for line in lines)))[1].user == "u1"


def test_keys_of_later_lines_become_columns(tmp_path):
    path = put(
        tmp_path,
        "e.jsonl",
        "".join(
            json.dumps({"user": "u", "item": "i", "time": T + n} | ({"rating": 5} if n else {"event": "view"})) + "\n"
            for n in range(9)
        ),
    )
    with EventFile(path) as file:
        assert [e.kind.value for e in file] == ["view"] + ["rate"] * 8


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"{'user': 'u', 'item': 'i'}\n" * 3, "Python dictionaries .* not JSON. Convert it"),
        (b"{u'user': u'u'}\n", "Python dictionaries"),
        (gzip.compress(CSV.encode() * 50)[:-40], "is truncated: its gzip data"),
        (gzip.compress(CSV.encode())[:20] + b"damage" * 20, "is damaged|is truncated"),
        (lzma.compress(CSV.encode())[:-20], "is truncated"),
        (b"SQLite format 3\0" + b"\0" * 100, "an SQLite database: export the table as CSV"),
        (b"\x80\x04\x95\x00\x01", "a Python pickle"),
        (b"<!DOCTYPE html><html>", "an HTML or XML page"),
        (b"PAR1 is only a beginning", "cannot be read"),
        (bytes(range(256)) * 40, "neither text nor Parquet|no column"),
        (b"[]", "no readable JSON objects"),
    ],
)  # fmt: skip
def test_file_without_a_table_is_refused_with_a_reason(tmp_path, content, what):
    with pytest.raises(BadSource, match=what):
        EventFile(put(tmp_path, "e.csv", content))
    with pytest.raises(BadSource, match="cannot be opened: No such file"):
        EventFile(tmp_path / "nowhere.csv")


def test_unclosed_quotation_mark_loses_no_row(tmp_path):
    lines = [f"u{n},i{n},5,{T + n},fine" for n in range(100)]
    for at, stray in ((3, '"so good'), (40, 'so "good"'), (41, '5" disk'), (60, '"a" or "b"'), (97, 'bad"')):
        lines[at] = lines[at].replace("fine", stray)
    with EventFile(put(tmp_path, "e.csv", "\n".join(["user,item,rating,time,review", *lines]))) as file:
        assert (file.tally.used, file.tally.rows) == (100, 100)
        assert [e.item for e in file] == [f"i{n}" for n in range(100)]


def test_quoted_text_over_several_lines_is_one_field(tmp_path):
    lines = "".join(f'u{n},i{n},5,{T + n},"Great, with\na ""new"" line,\nand more"\n' for n in range(100))
    with EventFile(put(tmp_path, "e.csv", f"user,item,rating,time,review\n{lines}")) as file:
        assert (file.tally.used, file.tally.rows) == (100, 100)


def test_backslash_escapes_are_read(tmp_path):
    lines = "".join(f'u{n},i{n},5,{T + n},"said \\"yes, no\\" twice"\n' for n in range(20))
    with EventFile(put(tmp_path, "e.csv", f"user,item,rating,time,review\n{lines}")) as file:
        assert (file.tally.used, file.tally.rows) == (20, 20)


def test_malformed_rows_are_counted_with_their_numbers(tmp_path):
    good = f"user,item,rating,time\nu,é,5,{T}\nu,i\nu,i,5,{T},more\n".encode()
    wide = b"".join(f"u,é{n},5,{T}\n".encode() for n in range(30))
    for tail, bad in ((b"", 2), (f"u,\xff,5,{T}\n".encode("latin-1"), 3)):
        with EventFile(put(tmp_path, "e.csv", good + wide + tail)) as file:
            assert (file.tally.used, file.tally.bad) == (31, bad)
            output = str(file.tally)
            assert "1: fewer fields than columns (4)" in output
            assert "1: more fields than columns (4)" in output
            assert "--delimiter" in output
            assert ("not in the file's encoding" in output) == bool(tail)


def test_json_lines_other_than_objects_are_counted(tmp_path):
    lines = LINES + '[1]\n"text"\n{"user": \nnull\n\n12\n'
    with EventFile(put(tmp_path, "e.jsonl", lines)) as file:
        assert (file.tally.used, file.tally.bad) == (20, 5)
        assert "5: not a JSON object" in str(file.tally)


def test_missing_reader_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingPart, match="Run: pip install duckdb"):
        EventFile(put(tmp_path, "e.csv", CSV))


def test_reading_downloads_nothing_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with EventFile(put(tmp_path, "e.csv", CSV)) as file:
        settings = dict(file._table.query("SELECT name, value FROM duckdb_settings()"))
        assert settings["autoinstall_known_extensions"] == settings["autoload_known_extensions"] == "false"
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())
