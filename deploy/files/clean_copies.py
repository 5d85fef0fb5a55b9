"""Clean copies of text files that DuckDB would misread.

DuckDB reads plain files fast and correctly. But after an unclosed quotation mark it takes thousands of rows for one
field, and it supports few encodings and compressions. `survey` checks in one pass whether a file is plain. If not,
`clean` writes a UTF-8 copy with a field separator that no field contains. A stray quotation mark loses no row there: a
mark that would swallow rows is treated as a literal character.
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
"""Maximum lines of a quoted field. A mark that is still unclosed then is a literal character."""

Line = tuple[int, str | None, str]
"""The number of a line, its text or None, and the reason for None."""

Record = tuple[int, list[str] | None, str]
"""The number of the first line, the fields or None, and the reason for None."""


@dataclass
class Survey:
    """The result of one pass over the bytes. `foreign` counts lines that are not UTF-8, `wide` those that are, beyond
    ASCII.

    Lines that are too long count in `long` only. `end` is the line terminator.
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
        """UTF-8, even with a few damaged lines; else Windows-1252, which includes printable Latin-1."""
        return "utf-8-sig" if not self.foreign or self.wide > 9 * self.foreign else "cp1252"


def survey(stream: IO[bytes], most: int | None = None) -> Survey:
    """Scan every byte, or about `most` lines."""
    found, tail, crlf, cr, feeds, skipping = Survey(), b"", 0, 0, 0, False
    while chunk := stream.read(CHUNK):
        feeds += chunk.count(b"\n")
        if skipping:
            _, ended, chunk = chunk.partition(b"\n")  # the rest of an overlong line
            skipping = not ended
        data = tail + chunk
        found.long += data.find(b"\n") > LONGEST_LINE  # only the first line of the data can be overlong
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
    # Consistent line ends are plain.
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
    """Write the copy, one record per line, while yielding the records; those without fields are not written."""
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
    """The non-blank lines, numbered from 1, without line ends; None for lines that are too long or cannot be
    decoded."""
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
                yield number, line, "not in the file's encoding"


def transcoded(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    """The text as UTF-8, in chunks."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for chunk in chunks(stream):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", True).encode()


class _Back:
    """An iterator of lines with pushback."""

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
    """The text of a record whose first line opens a quotation, and the lines read ahead that do not belong to it."""
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
        # The closing line is a separate row if its mark is in the same column as the opening one.
        rows += whole and 0 < place == found[1].partition('"')[0].count(form.delimiter)
        text = "\n".join([line, *(each[1] or "" for each in more)])
        fields = _strict(text, form)
        if fields is not None and len(fields) == width and rows * 2 <= len(more):
            return text, []
        break
    return line, more


def _strict(text: str, form: Form) -> list[str] | None:
    """The fields, if the quotation marks are valid; else None."""
    if len(form.delimiter) > 1:
        return None
    escaped = {"escapechar": form.escape, "doublequote": False} if form.escape != '"' else {}
    try:
        rows = list(csv.reader([text], delimiter=form.delimiter, strict=True, **escaped))  # type: ignore[arg-type]
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _literal(line: str, form: Form) -> list[str]:
    """The fields with literal quotation marks, except those around whole fields."""
    fields = line.split(form.delimiter)
    return [each[1:-1] if len(each) > 1 and each[0] == each[-1] == '"' else each for each in fields]


def _fit(number: int, fields: list[str], width: int) -> Record:
    if len(fields) == width:
        return number, fields, ""
    return number, None, f"{'more' if len(fields) > width else 'fewer'} fields than columns ({width})"
