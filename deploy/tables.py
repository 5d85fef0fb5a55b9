"""Rows of CSV, TSV, JSON-lines and Parquet files, one at a time, as maps from column to value.

Text may be compressed with gzip (`.csv.gz`). The columns of JSON lines are those of the first line; a line that lacks
one has None there. Column names lose the type that some data sets write behind them (`user_id:token` becomes
`user_id`). A file is streamed: memory is bounded by one row of text, or one Parquet batch of `PARQUET_ROWS` rows.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO, cast

from deploy.errors import BadSource, MissingPart

PARQUET_ROWS = 8_192
SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t"}
PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson")


class Row(NamedTuple):
    """Row `number` of a file, from 1, the header not counted. `values` is None where the row cannot be read."""

    number: int
    values: dict[str, Any] | None
    problem: str = ""


def columns(path: Path) -> list[str]:
    """The names of the columns. Raises `BadSource`."""
    return list(_open(path)[0])


def rows(path: Path) -> Iterator[Row]:
    """Every row of the file in its order. Raises `BadSource` where the file as a whole cannot be read."""
    return _open(path)[1]


def _open(path: Path) -> tuple[list[str], Iterator[Row]]:
    kind = path.suffixes[-2] if path.suffix in (".brotli", ".gz") and len(path.suffixes) > 1 else path.suffix
    kind = kind.lower()
    if not path.is_file():
        raise BadSource(f"{path} is not a file. Check the path.")
    if kind in PARQUET:
        return _parquet(path)
    if kind in SEPARATORS:
        return _text(path, SEPARATORS[kind])
    if kind in JSON_LINES:
        return _json(path)
    known = ", ".join((*SEPARATORS, *JSON_LINES, *PARQUET))
    raise BadSource(f"{path} has an ending that is not known. Rename it to one of {known}.")


def _plain(name: str) -> str:
    return name.strip().removeprefix("\ufeff").split(":", 1)[0]


def _reading(path: Path) -> TextIO:
    opened = gzip.open if path.suffix == ".gz" else open
    return cast(TextIO, opened(path, "rt", encoding="utf-8", errors="surrogateescape", newline=""))


def _json(path: Path) -> tuple[list[str], Iterator[Row]]:
    with _reading(path) as file:
        try:
            first = json.loads(file.readline())
        except ValueError:
            first = None
    if not isinstance(first, dict) or not first:
        raise BadSource(f"{path} does not begin with a line of JSON that is an object. Its keys name the columns.")
    names = list(first)

    def read() -> Iterator[Row]:
        with _reading(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    values = json.loads(line)
                except ValueError:
                    values = None
                if isinstance(values, dict):
                    yield Row(number, {name: values.get(name) for name in names})
                else:
                    yield Row(number, None, "not a JSON object")

    return names, read()


def _text(path: Path, separator: str) -> tuple[list[str], Iterator[Row]]:
    # Tab-separated data sets do not quote: a quotation mark in a title is one.
    quoting: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
    with _reading(path) as file:
        header = next(csv.reader(file, delimiter=separator, quoting=quoting), None)
    if not header:
        raise BadSource(f"{path} is empty. The first line must name the columns.")
    names = [_plain(name) for name in header]

    def read() -> Iterator[Row]:
        with _reading(path) as file:
            lines = csv.reader(file, delimiter=separator, quoting=quoting)
            next(lines)
            number = 0
            while True:
                number += 1
                try:
                    fields = next(lines)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield Row(number, None, str(error))
                    continue
                if not fields:
                    number -= 1
                elif len(fields) == len(names):
                    yield Row(number, dict(zip(names, fields, strict=True)))
                else:
                    yield Row(number, None, f"{len(fields)} fields, and {len(names)} columns")

    return names, read()


def _parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    try:
        import pyarrow  # noqa: PLC0415 - an optional part
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingPart("pyarrow, which reads Parquet files,", "Run: pip install pyarrow.") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BadSource(f"{path} cannot be read as Parquet: {error}. Check the file.") from error
    names = [_plain(name) for name in file.schema_arrow.names]

    def read() -> Iterator[Row]:
        with file:
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=PARQUET_ROWS))
            for number, values in enumerate(chain.from_iterable(batches), start=1):
                yield Row(number, dict(zip(names, values.values(), strict=True)))

    return names, read()
