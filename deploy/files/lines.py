"""Split a stream of bytes into lines, using at most `LONGEST_LINE` bytes of memory per line."""

from collections.abc import Iterable, Iterator
from typing import IO

CHUNK = 1 << 20
LONGEST_LINE = 1 << 20
"""In bytes. Rows of events or items are far shorter: the longest text that the contract allows is a few KiB."""

TOO_LONG = "longer than 1 MiB (write one row or one JSON object per line)"


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def lines(parts: Iterable[bytes], end: bytes = b"\n") -> Iterator[bytes | None]:
    """Each line with its end, for bytes in any chunks; None in place of lines that are too long."""
    begun, long = b"", False
    for part in parts:
        first, *more = part.split(end)
        begun = b"" if long else begun + first
        if long := long or len(begun) > LONGEST_LINE:
            begun = b""
        for each in more:
            yield None if long else begun + end
            begun = each
            if long := len(begun) > LONGEST_LINE:
                begun = b""
    if long or begun:
        yield None if long else begun
