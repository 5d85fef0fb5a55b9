"""Malicious files are read within bounded memory, or refused with a one-line error."""

import bz2
import gzip
import io
import lzma
import os
import socket
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.commands.parameters import InFile
from deploy.errors import BadSource
from deploy.files import duckdb_engine
from deploy.files.clean_copies import clean
from deploy.files.deep_json import DEEPEST_JSON, depth
from deploy.files.event_files import EventFile
from deploy.files.formats import MOST_COLUMNS, Asked, look
from deploy.files.lines import LONGEST_LINE, lines
from deploy.files.tables import Table

HEADER = "user,item,rating,time\n"
ROWS = "1,2,3,1600000000\n", "1,3,5,1600000001\n"
OBJECTS = tuple(
    f'{{"user":"1","item":"{item}","rating":{rating},"time":{1600000000 + item}}}' for item, rating in ((2, 3), (3, 5))
)
LONG = "a" * (LONGEST_LINE + 1)
MIB = 1 << 20


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def told(path: Path) -> tuple[int, int, str]:
    with EventFile(path) as file:
        return file.tally.used, file.tally.bad, str(file.tally)


BETWEEN: dict[str, str | bytes] = {
    "csv": HEADER + ROWS[0] + LONG + "\n" + ROWS[1],
    "quoted": HEADER + ROWS[0] + f'"{LONG}",2,3,1600000000\n' + ROWS[1],
    "quotation over lines": HEADER + ROWS[0] + '"' + "b\n" * 600_000 + '",2,3,1600000000\n' + ROWS[1],
    "tsv": (HEADER + ROWS[0] + LONG + "\n" + ROWS[1]).replace(",", "\t"),
    "utf-16": (HEADER + ROWS[0] + LONG + "\n" + ROWS[1]).encode("utf-16"),
    "latin-1": (HEADER + "é,2,3,1600000000\n" + LONG + "é\n" + ROWS[1]).encode("latin-1"),
    "json lines": f'{OBJECTS[0]}\n{{"a":"{LONG}"}}\n{OBJECTS[1]}\n',
    "at the end": HEADER + ROWS[0] + ROWS[1] + LONG,
}


@pytest.mark.parametrize("form", BETWEEN)
def test_overlong_line_is_rejected_and_the_others_are_used(tmp_path: Path, form: str) -> None:
    used, bad, text = told(put(tmp_path, "e", BETWEEN[form]))
    if form == "quotation over lines":  # which is none, so each of the lines is a row by itself
        assert (used, bad) == (3, 600_000)
        return
    assert (used, bad) == (2, 1), text
    assert "longer than 1 MiB (write one row" in text


def test_line_of_the_maximum_length_is_used(tmp_path: Path) -> None:
    row = "1,2,3,1600000000," + "é" * (LONGEST_LINE - 17) + "\n"
    text = "user,item,rating,time,note\n" + ("1,3,5,1600000001,é\n" * 3) + row
    assert told(put(tmp_path, "latin", text.encode("latin-1")))[:2] == (4, 0)
    assert told(put(tmp_path, "plain", text.replace("é", "e")))[:2] == (4, 0)


def test_carriage_returns_are_line_ends(tmp_path: Path) -> None:
    text = HEADER + ROWS[0] * 100_000
    used, bad, _ = told(put(tmp_path, "mac.csv", text.replace("\n", "\r").replace("1,", "é,")))
    assert (used, bad) == (100_000, 0)


def test_lines_do_not_depend_on_the_chunks() -> None:
    text = b"one\n\ntwo\n" + b"x" * (LONGEST_LINE + 5) + b"\nthree"
    for size in (1, 7, 1 << 16, 1 << 21):
        if size > 7:
            parts = [text[at : at + size] for at in range(0, len(text), size)]
            assert list(lines(parts)) == [b"one\n", b"\n", b"two\n", None, b"three"]
        short = text[:9]
        assert list(lines([short[at : at + size] for at in range(0, 9, size)])) == [b"one\n", b"\n", b"two\n"]
    assert list(lines([b"a" * LONGEST_LINE])) == [b"a" * LONGEST_LINE]


@pytest.mark.parametrize("levels", [DEEPEST_JSON - 1, DEEPEST_JSON, 1_000, 100_000])
@pytest.mark.parametrize("nest", [("[", "", "]"), ('{"a":', "1", "}")], ids=["lists", "objects"])
@pytest.mark.parametrize("form", ["lines", "array", "first"])
def test_deeply_nested_json_is_rejected(tmp_path: Path, levels: int, nest: tuple[str, str, str], form: str) -> None:
    opens, inside, closes = nest
    deep = OBJECTS[1][:-1] + ',"x":' + opens * levels + inside + closes * levels + "}"
    parts = [deep, OBJECTS[0]] if form == "first" else [OBJECTS[0], deep]
    text = f"[{','.join(parts)}]" if form == "array" else "\n".join(parts) + "\n"
    path = put(tmp_path, "e.json", text)
    used, bad, said = told(path)
    taken = levels < DEEPEST_JSON
    assert (used, bad) == ((2, 0) if taken else (1, 1)), said
    assert taken or f"nested more than {DEEPEST_JSON} levels deep" in said


def test_brackets_in_text_are_not_nesting() -> None:
    assert depth('{"a": "[[[", "b\\"[": [{}]}') == 3
    assert depth("[" * 1000) == DEEPEST_JSON + 1


def test_file_of_deeply_nested_json_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match=r"1: nested more than 64 levels deep\)\. Write one object per line"):
        told(put(tmp_path, "e.json", "[" + '{"a":' * 900 + "1" + "}" * 900 + "]"))


NAMES = ("[/x].csv", "[bold]x[/bold].csv", "a*.csv", "a?.csv", "{a,b}.csv", "d[ab]/e.csv", "hive=1/e.csv", "~.csv",
         "q'.csv",          "\x1b]0;pwn\x07.csv", "\u202egnp.csv", "new\nline.csv", "**.csv", "\udcff.csv")  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("form", ["csv", "json", "array", "parquet"])
def test_path_is_not_expanded_as_a_pattern(tmp_path: Path, name: str, form: str) -> None:
    """DuckDB would expand the pattern, and turn folder names into columns."""
    for other in ("ab.csv", "da/e.csv", "db/e.csv"):
        put(tmp_path, other, HEADER + ROWS[0] * 5)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        table = pa.table({"user": ["1"], "item": ["2"], "rating": [3], "time": [1600000000]})
        with path.open("wb") as file:
            pq.write_table(table, file)
        assert told(path)[:2] == (1, 0)
        return
    texts = {"csv": HEADER + "".join(ROWS), "json": "\n".join(OBJECTS) + "\n", "array": f"[{','.join(OBJECTS)}]"}
    with EventFile(put(tmp_path, name, texts[form])) as file:
        assert file.tally.used == 2
        assert not any("hive" in guess.what for guess in file.report.guesses)


def test_file_with_too_many_columns_is_refused(tmp_path: Path) -> None:
    names = ["user", "item", "rating", "time", *(f"c{n}" for n in range(MOST_COLUMNS))]
    wide = ",".join(names) + "\n" + "1,2,3,1600000000" + "," * MOST_COLUMNS + "\n"
    with pytest.raises(BadSource, match=r"has 2,004 columns, at most 2,000 are allowed"):
        told(put(tmp_path, "wide.csv", wide))
    text = OBJECTS[0][:-1] + "".join(f',"c{n}":1' for n in range(MOST_COLUMNS)) + "}\n"
    with pytest.raises(BadSource, match="at most 2,000 are allowed"):
        told(put(tmp_path, "wide.jsonl", text))


@pytest.mark.timeout(20)
def test_unclosed_marks_in_every_line_are_read_in_linear_time(tmp_path: Path) -> None:
    """Each mark reads ahead and puts the lines back, which must not accumulate."""
    text = HEADER + '"1,2,3,1600000000\n' * 60_000
    form = look(put(tmp_path, "odd.csv", text), Asked())
    rows = list(clean(io.BytesIO(text.encode()), form, "utf-8-sig", tmp_path / "copy"))
    assert len(rows) == 60_000
    assert all(fields is not None for _, fields, _ in rows)


def asking_for(memory: int) -> bytes:
    """An xz file whose header states a dictionary of this size."""
    packed = bytearray(lzma.compress((HEADER + "".join(ROWS)).encode()))
    length = (packed[12] + 1) * 4
    packed[16] = (memory.bit_length() - 12) * 2 - 2
    packed[12 + length - 4 : 12 + length] = zlib.crc32(packed[12 : 12 + length - 4]).to_bytes(4, "little")
    return bytes(packed)


def test_decompression_memory_is_bounded(tmp_path: Path) -> None:
    assert told(put(tmp_path, "small.xz", asking_for(64 * MIB)))[0] == 2
    with pytest.raises(BadSource, match=r"more than 128 MiB of memory.*xz -6"):
        told(put(tmp_path, "large.xz", asking_for(1024 * MIB)))


def test_xz_in_several_streams_is_read_to_the_end(tmp_path: Path) -> None:
    parts = [lzma.compress(part.encode()) for part in (HEADER, *ROWS)]
    assert told(put(tmp_path, "e.xz", b"\0\0\0\0".join(parts) + b"\0" * 8))[0] == 2
    with pytest.raises(BadSource, match="is truncated"):
        told(put(tmp_path, "cut.xz", parts[0] + parts[1][:-9]))


def test_unreadable_zip_archive_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "e.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("e.csv", HEADER)
    with pytest.raises(BadSource, match=r"compressed with an unsupported method\. Unpack the archive"):
        told(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("e.csv", HEADER)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)
    with pytest.raises(BadSource, match=r"is encrypted\. Unpack the archive"):
        told(path)
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(12_000):
            archive.writestr(f"{n:050}", b"")
    with pytest.raises(BadSource, match="a zip archive of many files"):
        told(path)


def test_oversized_or_corrupt_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duckdb_engine, "MEMORY", "80MB")
    columns = {"user": ["1"], "item": ["a" * (100 * MIB)], "rating": [3], "time": [1600000000]}
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False, write_statistics=False)
    with pytest.raises(BadSource, match="cannot be read within 512MB of memory: it has a row"):
        told(path)
    kind: pa.DataType = pa.int64()
    value: object = 1
    for _ in range(400):
        kind, value = pa.struct([("a", kind)]), {"a": value}
    pq.write_table(pa.table({**columns, "item": ["2"], "x": pa.array([value], kind)}), path)
    with pytest.raises(BadSource, match="cannot be read"):
        told(path)


def test_file_changed_while_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"user": list(range(200_000))}), path, row_group_size=1_000)
    with Table(path) as table:
        path.write_bytes(path.read_bytes()[:2_000])
        with pytest.raises(BadSource, match=r"e\.parquet cannot be read"):
            list(table.stream(f"SELECT {table.text('user')} FROM rows"))


def made(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        os.chdir(folder)
        listener.bind(kind)
        listener.close()
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("folder", "is a folder"),
        ("pipe", "is a pipe, socket or device"),
        ("socket", "is a pipe, socket or device"),
        ("loop", "cannot be opened: Too many"),
        ("nowhere", "cannot be opened: No such file"),
        ("n" * 300, "cannot be opened: File name too long"),
        ("zero\0byte", "cannot be opened: .*embedded null"),
        ("/dev/zero", "is a pipe, socket or device"),
    ],
)
def test_special_file_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = made(kind, tmp_path)
    with pytest.raises(click.BadParameter, match=says):
        InFile().convert(str(path), None, None)
    with pytest.raises(BadSource, match=says):
        told(path)


def bombs(folder: Path) -> dict[str, Callable[[], Path]]:
    """A few kilobytes each, which unpack to 400 MiB."""
    head, line = (HEADER + ROWS[0]).encode(), b"a" * (16 * MIB)

    def streams(name: str, compress: Callable[[bytes], bytes], first: bytes, unit: bytes = line) -> Path:
        return put(folder, name, compress(first) + compress(unit) * 25 + compress(b"\n"))

    def zipped() -> Path:
        path = folder / "e.zip"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("e", "w") as file,
        ):
            file.write(head)
            for _ in range(25):
                file.write(line)
        return path

    def coded(name: str) -> Callable[[bytes], bytes]:
        def compress(data: bytes) -> bytes:
            sink = pa.BufferOutputStream()
            with pa.CompressedOutputStream(sink, name) as out:
                out.write(data)
            return bytes(sink.getvalue())

        return compress

    def one_line() -> Path:
        return put(folder, "e.json.gz", gzip.compress(b'[{"user":"') + gzip.compress(line) * 25 + gzip.compress(b'"}]'))

    return {
        "gzip": lambda: streams("e.gz", gzip.compress, head),
        "bz2": lambda: streams("e.bz2", bz2.compress, head),
        "xz": lambda: streams("e.xz", lzma.compress, head),
        "zstd": lambda: streams("e.zst", coded("zstd"), head),
        "lz4": lambda: streams("e.lz4", coded("lz4"), head),
        "zip": zipped,
        "nothing but a line": lambda: streams("line.gz", gzip.compress, line),
        "json lines": lambda: streams("lines.gz", gzip.compress, (OBJECTS[0] + '\n{"a":"').encode()),
        "json in one line": one_line,
        "rows that do not fit": lambda: streams("ragged.gz", gzip.compress, head, b"abcdefgh\n" * 100_000),
    }


MEASURED = """import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(done.returncode)"""
"""Runs a command and prints its peak in KiB. From a small process: a child's peak begins with that of its parent."""


@pytest.mark.slow
@pytest.mark.parametrize("name", bombs(Path()))
def test_memory_is_bounded_for_files_of_any_unpacked_size(tmp_path: Path, name: str) -> None:
    path = bombs(tmp_path)[name]()
    assert path.stat().st_size < 6 * MIB
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "deploy.cli", "inspect-file", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    said, peak = done.stdout, int(done.stderr.splitlines()[-1])
    assert peak < 700 * 1024, f"{peak // 1024} MiB: {said[-300:]}"
    assert done.returncode in {0, 1}
    assert "bug in Ouzel" not in said
    assert "Traceback" not in said
