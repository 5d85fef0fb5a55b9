"""Decompress files by content, regardless of their names."""

import bz2
import gzip
import io
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
"""Compressions by magic bytes."""

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, OSError, ValueError)
MOST_MEMORY = 128 << 20
"""Maximum bytes of memory for decompression. xz needs 65 MiB at its highest preset, zstd at most 128."""

MOST_OF_A_LIST = 1 << 20
"""Maximum bytes of a zip archive's directory, which is read whole."""

UNPACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}


@contextmanager
def opened(path: Path, compression: str) -> Iterator[IO[bytes]]:
    """Open a file for reading its decompressed bytes. Raises `BadSource` if they are truncated or damaged."""
    try:
        with _reader(path, compression) as stream:
            yield stream
    except lzma.LZMAError as error:
        if "limit" not in str(error).lower():
            raise _damaged(path, compression, error) from error
        raise BadSource(
            f"{path} needs more than {MOST_MEMORY >> 20} MiB of memory for decompression. Decompress it, and compress "
            "it again with `xz -6`."
        ) from error
    except DAMAGED as error:
        if not compression or isinstance(error, UnicodeError):
            raise
        raise _damaged(path, compression, error) from error


def _damaged(path: Path, compression: str, error: Exception) -> BadSource:
    what = "is truncated" if isinstance(error, EOFError) or "end" in str(error).lower() else "is damaged"
    return BadSource(f"{path} {what}: its {compression} data cannot be read to the end. Copy the file again.")


def _reader(path: Path, compression: str) -> IO[bytes]:
    if compression in {"zstd", "lz4"}:
        try:
            import pyarrow  # noqa: PLC0415 - an optional part
        except ImportError as error:
            raise MissingPart(f"pyarrow, which reads {compression} files,", "Run: pip install pyarrow.") from error
        return cast(IO[bytes], pyarrow.input_stream(str(path), compression=compression))
    if compression == "zip":
        if _list_bytes(path) > MOST_OF_A_LIST:
            raise BadSource(f"{path} is a zip archive of many files. Unpack it and name one of them.")
        archive = zipfile.ZipFile(path)
        inside = [each for each in archive.namelist() if not each.endswith("/") and not each.startswith("__MACOSX")]
        if "[Content_Types].xml" in inside:
            raise BadSource(f"{path} is an Excel workbook. Save the sheet as CSV.")
        if len(inside) != 1:
            raise BadSource(f"{path} is a zip archive of {len(inside)} files. Unpack it and name one of them.")
        entry = archive.getinfo(inside[0])
        if entry.flag_bits & 1 or entry.compress_type not in UNPACKED:
            how = "encrypted" if entry.flag_bits & 1 else "compressed with an unsupported method"
            raise BadSource(f"the file in {path} is {how}. Unpack the archive and name the file.")
        return archive.open(entry)
    if compression == "xz":
        return cast(IO[bytes], io.BufferedReader(_Xz(path)))
    openers: dict[str, Any] = {"gzip": gzip.open, "bz2": bz2.open, "": open}
    return cast(IO[bytes], openers[compression](path, "rb"))


def _list_bytes(path: Path) -> int:
    """The size of a zip archive's directory, as stated in the archive; 0 if not stated."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 128))
        end = file.read()
    at, wide = end.rfind(b"PK\x05\x06"), end.rfind(b"PK\x06\x06")
    if at < 0:
        return 0
    size = int.from_bytes(end[at + 12 : at + 16], "little")
    return int.from_bytes(end[wide + 40 : wide + 48], "little") if size == 0xFFFFFFFF and wide >= 0 else size


class _Xz(io.RawIOBase):
    """Like `lzma.open`, but with at most `MOST_MEMORY`: otherwise the data decides how much memory it takes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._stream = lzma.LZMADecompressor(memlimit=MOST_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            packed = b""
            if self._stream.eof:
                packed = self._next_stream()
                if not packed:
                    return 0
                self._stream = lzma.LZMADecompressor(memlimit=MOST_MEMORY)
            elif self._stream.needs_input:
                packed = self._file.read(io.DEFAULT_BUFFER_SIZE)
                if not packed:
                    raise EOFError
            found = self._stream.decompress(packed, max_length=len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def _next_stream(self) -> bytes:
        """The start of the next of several streams, after padding zeros; empty at the end."""
        packed = self._stream.unused_data.lstrip(b"\0")
        while not packed:
            read = self._file.read(io.DEFAULT_BUFFER_SIZE)
            if not read:
                return b""
            packed = read.lstrip(b"\0")
        return packed

    def close(self) -> None:
        self._file.close()
        super().close()
