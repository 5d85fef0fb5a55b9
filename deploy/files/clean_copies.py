"""Text that DuckDB would not read row by row, copied so that it does.

DuckDB reads a plain file fast and well. Where a quotation mark is not closed, it takes thousands of rows for one field;
and it knows few encodings and compressions. `survey` says in one pass whether a file is plain. If not, `clean` writes a
UTF-8 copy with a field separator that nothing contains. There a stray quotation mark costs no row: if what it opens
swallows rows, it is a mark like any other.
"""

import codecs
import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from deploy.files.formats import Form, split
from deploy.files.lines import CHUNK, LONGEST_LINE, TOO_LONG, chunks, lines

SEPARATOR = "\x1f"
MOST_LINES = 500
"""Of one quoted field. A mark that is not closed by then opened nothing."""

Line = tuple[int, str | None, str]
"""The number of a line, its text or None, and why there is none."""

Record = tuple[int, list[str] | None, str]
"""The number of its first line, its fields or None, and why there are none."""


@dataclass
class Survey:
    """What one pass over the bytes found. `foreign` lines are not UTF-8, and `wide` ones are, beyond ASCII.

    Lines that are too long are in `long` alone. `end` is what ends a line.
    """

    lines: int = 0
    long: int = 0
    end: bytes = b"\n"
    foreign: int = 0
    wide: int = 0
    odd: int = 0
    quotes: bool = False
    c1: bool = False
    carriage: bool = False

    @property
    def encoding(self) -> str:
        """UTF-8, if a few lines are damaged too; else what Western Windows writes, of which Latin-1 is part."""
        return "utf-8-sig" if not self.foreign or self.wide > 9 * self.foreign else "cp1252"


def survey(stream: IO[bytes], most: int | None = None) -> Survey:
    """Look at every byte, or at about `most` lines."""
    found, tail, crlf, cr, feeds, skipping = Survey(), b"", 0, 0, 0, False
    while chunk := stream.read(CHUNK):
        feeds += chunk.count(b"\n")
        if skipping:
            _, ended, chunk = chunk.partition(b"\n")  # the rest of a line that is too long
            skipping = not ended
        data = tail + chunk
        found.long += data.find(b"\n") > LONGEST_LINE  # no later line of it can be
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > LONGEST_LINE and not feeds:
            cut = data.rfind(b"\r") + 1
        block, tail = data[:cut], data[cut:]
        if len(tail) > LONGEST_LINE:
            found.long, tail, skipping = found.long + 1, b"", True
        cr, crlf = cr + chunk.count(b"\r"), crlf + block.count(b"\r\n")
        _count(block, found)
        if most is not None and found.lines > most:
            tail = b""
            crlf = cr = 0 if crlf in {0, found.lines} else 1
            break
    _count(tail, found)
    found.end = b"\n" if feeds or not cr else b"\r"
    # Lines that end in one way throughout are plain.
    ends = {0, found.lines, found.lines - 1}
    found.carriage = found.carriage or cr - crlf > 0 or (most is None and crlf not in ends)
    return found


def _count(block: bytes, found: Survey) -> None:
    if not block:
        return
    found.lines += block.count(b"\n") + (not block.endswith(b"\n"))
    found.carriage = found.carriage or b"\0" in block
    lines: list[bytes] = []
    if not block.isascii():
        lines = block.split(b"\n")
        for line in lines:
            if not line.isascii():
                try:
                    line.decode()
                    found.wide += 1
                except UnicodeDecodeError:
                    found.foreign += 1
    if b'"' in block:
        found.quotes = True
        found.odd += sum(line.count(b'"') & 1 for line in lines or block.split(b"\n"))


def clean(
    stream: IO[bytes], form: Form, encoding: str, copy: Path, *, limit: int | None = None, end: bytes = b"\n"
) -> Iterator[Record]:
    """Write the copy, one record a line, while the records are asked for; those without fields are not written."""
    source = _lines(stream, encoding, end)
    records: Iterable[Record]
    if form.kind == "delimited":
        records = _records(source, form)
    else:
        records = ((number, None if line is None else [line], why) for number, line, why in source)
    with copy.open("w", encoding="utf-8", newline="\n") as file:
        for record in records if limit is None else islice(records, limit):
            if record[1] is not None:
                file.write(SEPARATOR.join(map(_flat, record[1])) + "\n")
            yield record


def _flat(field: str) -> str:
    return field.translate(_SPACES) if not field.isprintable() else field


_SPACES = {ord("\n"): " ", ord("\r"): " ", 0: "\x02", ord(SEPARATOR): "\x02"}


def _lines(stream: IO[bytes], encoding: str, end: bytes) -> Iterator[Line]:
    """The lines, numbered from 1, without their ends; None for one that is too long or not of the encoding. No blank
    ones."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    source = transcoded(stream, encoding) if wide else chunks(stream)
    name = "utf-8" if wide or encoding == "utf-8-sig" else encoding
    number = 0
    for raw in lines(source, end):
        if raw is None:
            number += 1
            yield number, None, TOO_LONG
            continue
        parts = raw.split(b"\r") if b"\r" in raw.rstrip(b"\r\n") and b'"' not in raw else [raw]
        for part in parts:
            number += 1
            if number == 1:
                part = part.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
            try:
                line: str | None = part.decode(name, "replace" if name == "cp1252" else "strict").rstrip("\r\n")
            except UnicodeDecodeError:
                line = None
            if line is None or line.strip():
                yield number, line, "not in the encoding of the file"


def transcoded(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    """The text in UTF-8, in parts."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks(stream):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", True).encode()


class _Back:
    """Lines that can be put back, to come again."""

    def __init__(self, source: Iterator[Line]) -> None:
        self._source = source
        self._back: deque[Line] = deque()

    def put(self, lines: list[Line]) -> None:
        self._back.extendleft(reversed(lines))

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._back.popleft() if self._back else next(self._source)


def _records(source: Iterator[Line], form: Form) -> Iterator[Record]:
    """The rows below the header."""
    width = len(form.names)
    for _ in range(form.preamble + form.header):
        next(source, None)
    rows = _Back(source)
    for number, line, why in rows:
        if line is None:
            yield number, None, why
            continue
        if not form.quoted:
            yield _fit(number, line.split(form.delimiter), width)
            continue
        text = line
        if line.count('"') & 1 and form.escape == '"':
            text, back = _closed(line, rows, form, width)
            rows.put(back)
        fields = _strict(text, form)
        yield _fit(number, fields if fields is not None else _literal(line, form), width)


def _closed(line: str, source: Iterator[Line], form: Form, width: int) -> tuple[str, list[Line]]:
    """The text of a record whose first line opens a quotation, and the lines that were read and do not belong to it."""
    more: list[Line] = []
    rows, place, size = 0, len(split(line, form.delimiter, True)) - 1, len(line)
    for found in islice(source, MOST_LINES):
        more.append(found)
        size += len(found[1] or "")
        if found[1] is None or size > LONGEST_LINE:
            break
        whole = len(_literal(found[1], form)) == width
        if not found[1].count('"') & 1:
            rows += whole
            continue
        # What closes the field is a row of its own if the mark stands in it where the first line opened one.
        rows += whole and 0 < place == found[1].partition('"')[0].count(form.delimiter)
        text = "\n".join([line, *(each[1] or "" for each in more)])
        fields = _strict(text, form)
        if fields is not None and len(fields) == width and rows * 2 <= len(more):
            return text, []
        break
    return line, more


def _strict(text: str, form: Form) -> list[str] | None:
    """The fields, if the quotation marks are as they should be."""
    if len(form.delimiter) > 1:
        return None
    escaped = {"escapechar": form.escape, "doublequote": False} if form.escape != '"' else {}
    try:
        rows = list(csv.reader([text], delimiter=form.delimiter, strict=True, **escaped))  # type: ignore[arg-type]
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _literal(line: str, form: Form) -> list[str]:
    """The fields with quotation marks taken as they are, but for those around a whole field."""
    fields = line.split(form.delimiter)
    return [each[1:-1] if len(each) > 1 and each[0] == each[-1] == '"' else each for each in fields]


def _fit(number: int, fields: list[str], width: int) -> Record:
    if len(fields) == width:
        return number, fields, ""
    return number, None, f"{'more' if len(fields) > width else 'fewer'} fields than columns ({width})"
