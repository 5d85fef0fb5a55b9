"""Detect a file's format by content: its compression, and whether it is Parquet, JSON or delimited text.

File names are ignored. Options are taken as given; the rest is guessed from the first `SAMPLE` bytes.
"""

import codecs
import csv
import json
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.errors import BadSource
from deploy.files.decompression import COMPRESSIONS, opened
from deploy.files.vocabulary import KINDS, known_column, plain
from deploy.local.paths import unreadable

SAMPLE = 256 * 1024
SAMPLE_LINES = 200
MOST_COLUMNS = 2_000
DELIMITERS = ("::", "\t", ";", "|", ",", "\x01", " ")
NAMED_DELIMITERS = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "space": " ",
    "\\x01": "\x01",
}
SHOWN = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "pipe", " ": "space", "\x01": "\\x01"}

FOREIGN = {
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x89HDF": "an HDF5 file: save the table as Parquet",
    b"ORC": "an ORC file: save it as Parquet",
    b"ARROW1": "an Arrow or Feather file: save it as Parquet",
    b"%PDF": "a PDF",
    b"\x80\x04": "a Python pickle: save the table as Parquet or CSV",
    b"\x80\x05": "a Python pickle: save the table as Parquet or CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"<": "an HTML or XML page, not a table. Was the web page saved instead of the file?",
}
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Asked:
    """The options for a text file; None means guess."""

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None


GUESSED = Asked()


@dataclass(frozen=True)
class Form:
    """A file's format. `encoding` is None if it has to be determined from the whole text. `names` are the columns of
    delimited text, which follow `preamble` comment lines.
    """

    kind: Literal["parquet", "lines", "array", "delimited"]
    compression: str = ""
    encoding: str | None = None
    delimiter: str = ","
    quoted: bool = False
    escape: str = '"'
    header: bool = True
    names: tuple[str, ...] = ()
    preamble: int = 0


def look(path: Path, asked: Asked) -> Form:
    """Detect the format of a file. Raises `BadSource` if it cannot be read as a table, saying what it is."""
    if (why := unreadable(path)) is not None:
        raise BadSource(why)
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PAR1"):
        return Form("parquet")
    compression = next((name for magic, name in COMPRESSIONS.items() if start.startswith(magic)), "")
    with opened(path, compression) as stream:
        head = stream.read(SAMPLE)
    if not head.strip():
        raise BadSource(f"{path} is empty. It must hold a table, with or without a header line.")
    foreign = next((what for magic, what in FOREIGN.items() if head.lstrip().startswith(magic)), None)
    if head[257:262] == b"ustar":
        foreign = "a tar archive: unpack it and name one of its files"
    if head.startswith(b"PAR1"):
        foreign = "a compressed Parquet file: decompress it first"
    if foreign is not None:
        raise BadSource(f"{path} is {foreign.rstrip('.')}.")
    encoding = _encoding(path, head, asked.encoding)
    text = codecs.getincrementaldecoder(encoding or "utf-8")("replace").decode(head)
    return _text(path, text, Form("delimited", compression, encoding), asked, whole=len(head) < SAMPLE)


def _encoding(path: Path, head: bytes, asked: str | None) -> str | None:
    """The encoding from the option or a byte order mark; None if unknown. Raises `BadSource`."""
    if asked is not None:
        try:
            return "utf-8-sig" if (name := codecs.lookup(asked).name) == "utf-8" else name
        except LookupError:
            raise BadSource(f"--encoding {asked} is unknown. Try utf-8, latin-1, cp1252, utf-16, gbk.") from None
    marked = next((name for bom, name in BOMS.items() if head.startswith(bom)), None)
    if marked or head.count(0) * 5 <= len(head):
        return marked
    for name, at in (("utf-16-le", 1), ("utf-16-be", 0)):
        if head[at::2].count(0) > len(head) // 4 and head[1 - at :: 2].count(0) < len(head) // 20:
            return name
    raise BadSource(f"{path} is neither text nor Parquet. Save the table as CSV or Parquet.")


def _text(path: Path, text: str, form: Form, asked: Asked, *, whole: bool) -> Form:
    lines = [line for line in text.replace("\r\n", "\n").split("\n" if "\n" in text else "\r") if line.strip()]
    lines = (lines if whole or len(lines) == 1 else lines[:-1])[:SAMPLE_LINES]
    if not lines:
        raise BadSource(f"{path} holds no text. It must hold a table; set its encoding with --encoding.")
    first = lines[0].lstrip("\ufeff").strip()
    if first.startswith("[") and (first == "[" or first[1:].lstrip().startswith(("{", "]"))):
        return Form("array", form.compression, form.encoding)
    if first.startswith("{"):
        return _json(path, lines, form)
    if len(lines) == 1 and not whole:
        raise BadSource(
            f"{path} has no line end in its first {SAMPLE // 1024} KiB, so it is not a table: line 1 is too long. "
            "Write one row or one JSON object per line."
        )
    comments = [bool(re.match(r"# |sep=.$", line.lstrip("\ufeff"))) for line in lines]
    preamble = comments.index(False) if False in comments else 0
    lines = lines[preamble:]
    delimiter = NAMED_DELIMITERS.get(asked.delimiter or "", asked.delimiter) or _delimiter(lines)
    quoted = delimiter in {",", ";"} or (len(delimiter) == 1 and _all_quoted(lines, delimiter))
    escape = _escape(lines, delimiter) if quoted and '\\"' in text else '"'
    table = [split(line, delimiter, quoted, escape) for line in lines]
    names = [name.strip() for name in split(lines[0].lstrip("\ufeff"), delimiter, quoted, escape)]
    header = _is_header(names) if asked.header is None else asked.header
    width = Counter(len(row) for row in table).most_common(1)[0][0]
    if not header:
        names = [str(number) for number in range(1, width + 1)]
    elif width == len(names) + 1 and all(len(row) != width or not row[-1].strip() for row in table[1:]):
        names.append("")  # every line ends with a delimiter
    elif width == len(names) + 1 and all(len(row) != width or row[0].strip('" ').isdecimal() for row in table[1:]):
        names.insert(0, "row")  # R writes tables like this
    names = [re.sub(r":\w+$", "", name) for name in names]
    few_enough(path, len(names))
    return Form("delimited", form.compression, form.encoding, delimiter, quoted, escape, header, tuple(names), preamble)


def few_enough(path: Path, columns: int) -> None:
    """Raises `BadSource` for more than `MOST_COLUMNS` columns."""
    if columns > MOST_COLUMNS:
        raise BadSource(
            f"{path} has {columns:,} columns, at most {MOST_COLUMNS:,} are allowed. Write a file with only the columns "
            "for user, item, time and kind of event, or for the item's id, title and text."
        )


def _json(path: Path, lines: list[str], form: Form) -> Form:
    def of_json(line: str) -> bool:
        try:
            return isinstance(json.loads(line), dict)
        except RecursionError:
            return True  # the line is rejected later, as nested too deeply
        except ValueError:
            return False

    if any(of_json(line.lstrip("\ufeff")) for line in lines[:20]):
        return Form("lines", form.compression, form.encoding)
    if re.match(r"\{\s*u?'", lines[0].lstrip("\ufeff")):
        raise BadSource(
            f"{path} holds Python dictionaries (keys in single quotes), not JSON. Convert it: python -c 'import ast, "
            "json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]' < FILE > FILE.jsonl"
        )
    if len(lines) > 1:
        return Form("array", form.compression, form.encoding)  # objects over several lines
    raise BadSource(
        f"{path} begins like JSON, but its first line is not a complete object, or is longer than "
        f"{SAMPLE // 1024} KiB. Write one object per line."
    )


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits most lines into as many fields as the first, and into the most fields."""

    def score(delimiter: str) -> tuple[float, int]:
        if len(delimiter) == 1:
            shapes = [[len(split(line, delimiter, True)) for line in lines]]
            with suppress(csv.Error):
                shapes.append([len(row) for row in csv.reader(lines, delimiter=delimiter)])
        else:
            shapes = [[line.count(delimiter) + 1 for line in lines]]
        return max((round(sum(n == shape[0] for n in shape) / len(shape), 1), shape[0]) for shape in shapes if shape)

    scores = {delimiter: score(delimiter) for delimiter in DELIMITERS}
    usable = {d: s for d, s in scores.items() if s[1] > 1 and s[0] >= (0.5 if d not in {" ", "\x01"} else 1.0)}
    spaced = usable.pop(" ", None)
    if not usable:
        return " " if spaced else ","
    return max(usable, key=lambda delimiter: usable[delimiter])


def _all_quoted(lines: list[str], delimiter: str) -> bool:
    """Whether quotation marks enclose whole fields, rather than occur in titles."""
    fields = [field.strip() for line in lines for field in line.split(delimiter) if '"' in field]
    return bool(fields) and all(len(field) > 1 and field[0] == field[-1] == '"' for field in fields)


def _escape(lines: list[str], delimiter: str) -> str:
    """The character before a quotation mark inside a field: a second mark, or a backslash where more lines are valid
    with it. A field that ends with a backslash looks like an escaped mark."""
    bare = f'[^"{re.escape(delimiter)}]*'
    inside = {'"': '(?:[^"]|"")*', "\\": r'(?:[^"\\]|\\.)*'}

    def valid(escape: str) -> int:
        field = f'(?: *"{inside[escape]}" *|{bare})'
        line = re.compile(f"{field}(?:{re.escape(delimiter)}{field})*")
        return sum(line.fullmatch(each) is not None for each in lines)

    return max(inside, key=valid)


def split(line: str, delimiter: str, quoted: bool, escape: str = '"') -> list[str]:
    """The fields of one line, even with invalid quotation marks."""
    if len(delimiter) > 1 or not quoted:
        return line.split(delimiter)
    escaped = {"escapechar": escape, "doublequote": False} if escape != '"' else {}
    try:
        return next(csv.reader([line], delimiter=delimiter, **escaped), [])  # type: ignore[arg-type]
    except csv.Error:
        return line.split(delimiter)


def _is_header(cells: list[str]) -> bool:
    """Whether a first line is a header: it has a known column name, or no cell that looks like a value."""
    if any(known_column(cell) for cell in cells):
        return True
    value = re.compile(r"-?\d+([.,]\d+)?([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*|\d{1,2}/\d{1,2}/\d{2,4}.*")
    return not any(value.fullmatch(cell) or plain(cell) in KINDS for cell in cells)
