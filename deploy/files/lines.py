"""The lines of a stream of bytes, of which none takes more than `LONGEST_LINE` bytes of memory."""

from collections.abc import Iterable, Iterator
from typing import IO

CHUNK = 1 << 20
LONGEST_LINE = 1 << 20
"""In bytes. No row of events or items comes near it: the longest text that the contract takes is a few KiB."""

TOO_LONG = "longer than 1 MiB (write one row or one JSON object a line)"


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def lines(parts: Iterable[bytes], end: bytes = b"\n") -> Iterator[bytes | None]:
    """Each line with its end, however the bytes are cut into parts; None in the place of one that is too long."""
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
