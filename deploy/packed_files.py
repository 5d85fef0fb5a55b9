"""The bytes of a file, decompressed, whatever it is called."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from deploy.errors import BadSource, MissingPart

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
"""By the first bytes."""

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, OSError, ValueError)


@contextmanager
def opened(path: Path, compression: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed. Raises `BadSource` where they end too early or are damaged."""
    try:
        with _reader(path, compression) as stream:
            yield stream
    except DAMAGED as error:
        if not compression or isinstance(error, UnicodeError):
            raise
        what = "is cut short" if isinstance(error, EOFError) or "end" in str(error).lower() else "is damaged"
        raise BadSource(f"{path} {what}: its {compression} data cannot be read to the end. Copy it again.") from error


def _reader(path: Path, compression: str) -> IO[bytes]:
    if compression in {"zstd", "lz4"}:
        try:
            import pyarrow  # noqa: PLC0415 - an optional part
        except ImportError as error:
            raise MissingPart(f"pyarrow, which reads {compression} files,", "Run: pip install pyarrow.") from error
        return cast(IO[bytes], pyarrow.input_stream(str(path), compression=compression))
    if compression == "zip":
        archive = zipfile.ZipFile(path)
        inside = [each for each in archive.namelist() if not each.endswith("/") and not each.startswith("__MACOSX")]
        if "[Content_Types].xml" in inside:
            raise BadSource(f"{path} is an Excel workbook. Save the sheet as CSV.")
        if len(inside) != 1:
            raise BadSource(f"{path} is a zip archive of {len(inside)} files. Unpack it and name one of them.")
        return archive.open(inside[0])
    openers: dict[str, Any] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open, "": open}
    return cast(IO[bytes], openers[compression](path, "rb"))
