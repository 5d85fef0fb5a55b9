"""Rows of lists as JSON lines or Parquet, on standard output or in a file that appears whole."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO

import msgspec

from deploy.errors import DeployError, MissingPart
from deploy.export.list_rows import ListRow
from schemas.shown import shown_json
from streams.private import private_file

JSONL, PARQUET = "jsonl", "parquet"
ENDINGS = {".jsonl": JSONL, ".ndjson": JSONL, ".parquet": PARQUET}

GROUP_ROWS = 50_000
"""Rows of a Parquet row group, about 20 MB in memory."""


def format_of(path: Path) -> str:
    """The format that the ending of a file's name says. Raises `DeployError` if it says none."""
    form = ENDINGS.get(path.suffix.lower())
    if form is None:
        raise DeployError(f"{path} has none of the endings {', '.join(ENDINGS)}: name the format with --format.")
    return form


def check_format(form: str) -> None:
    """Raise `MissingPart` if what writes the format is not installed."""
    if form == PARQUET and find_spec("pyarrow") is None:
        raise MissingPart(
            "pyarrow, which writes Parquet files,", "Run: pip install 'ouzel[files]', or export to a .jsonl file."
        )


def write_lines(rows: Iterable[ListRow], tell: Callable[[str], object]) -> None:
    """Pass each row to `tell` as a line of JSON, None as null."""
    for row in rows:
        tell(msgspec.json.encode(row).decode())


def write_file(path: Path, form: str, rows: Iterable[ListRow]) -> None:
    """Write a file for this user alone, under a temporary name until it is whole and on disk; replaces `path`.

    Raises `OSError`; then `path` is as before.
    """
    with _appearing(path) as out:
        if form == PARQUET:
            _write_parquet(out, rows)
        else:
            write_lines(rows, lambda line: out.write(shown_json(line).encode() + b"\n"))


def _write_parquet(out: IO[bytes], rows: Iterable[ListRow]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an optional part
    import pyarrow.parquet as pq  # noqa: PLC0415

    text = pa.string()
    kinds = {"ts": pa.timestamp("ms", "UTC"), "position": pa.int32(), "score": pa.float64()}
    optional = {"title", "degraded", "model_version"}
    schema = pa.schema(
        [pa.field(name, kinds.get(name, text), nullable=name in optional) for name in ListRow.__struct_fields__]
    )
    left = iter(rows)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while group := list(islice(left, GROUP_ROWS)):
            columns = [pa.array([getattr(row, field.name) for row in group], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


@contextmanager
def _appearing(path: Path) -> Iterator[IO[bytes]]:
    """A file that is renamed to `path` when the block ends, and deleted if it fails."""
    whole = Path(os.path.realpath(path))  # a link stays a link
    aside = whole.with_name(f".{whole.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with open(aside, "wb", opener=private_file) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, whole)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    folder = os.open(whole.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
