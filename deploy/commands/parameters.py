"""Parameter types that reject unusable values before any work starts."""

import math
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy.local.paths import unreadable, unwritable


class InFile(click.ParamType):
    """A readable file. Pipes and devices are rejected, since files are read more than once."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if why := unreadable(path):
            self.fail(why, param, ctx)
        return path


class OutFile(click.ParamType):
    """A writable file in an existing folder. With `make_folder`, the command creates missing folders."""

    name = "path"

    def __init__(self, *, make_folder: bool = False) -> None:
        self._make_folder = make_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.is_dir():
            self.fail(f"{path} is a folder; name a file in it.", param, ctx)
        if path.exists():
            if not os.access(path, os.W_OK):
                self.fail(f"{path} is not writable; change its permissions or name another file.", param, ctx)
            return path
        folder = path.parent
        if not folder.exists() and not self._make_folder:
            self.fail(f"the folder {folder} does not exist; create it or name a file elsewhere.", param, ctx)
        if why := unwritable(folder):
            self.fail(why, param, ctx)
        return path


class NewFile(OutFile):
    """A file that is replaced as a whole, in a writable folder, or "-" for standard output."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if str(path) == "-":
            return path
        path = super().convert(value, param, ctx)
        if path.exists() and not path.is_file():
            self.fail(f'{path} is a pipe, socket or device; name a file, or "-" for standard output.', param, ctx)
        folder = Path(os.path.realpath(path)).parent
        if not folder.exists():
            self.fail(f"{path} is a link into the folder {folder}, which does not exist; create it.", param, ctx)
        if why := unwritable(folder):
            self.fail(why, param, ctx)
        return path


class OutFolder(click.ParamType):
    """A writable folder, which may still be created."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if why := unwritable(path):
            self.fail(why, param, ctx)
        return path


class Id(click.ParamType):
    """An id. Arguments may hold any bytes; ids must be UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail("the id is not valid UTF-8.", param, ctx)
        return str(value)

    def read(self, ctx: click.Context) -> Iterator[str]:
        """Yield ids from standard input, one per line."""
        for line in click.get_text_stream("stdin", encoding="utf-8", errors="surrogateescape"):
            yield self.convert(line.rstrip("\n"), None, ctx)


class Real(click.FloatRange):
    """A finite number in a range. Rejects nan, which passes every range check."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


class Since(click.ParamType):
    """A time in milliseconds since 1970: a date or time as in ISO 8601, or so long before now."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from streams.clock import SYSTEM

        found = value if isinstance(value, int) else since_ms(str(value), SYSTEM.now_ms())
        if found is None:
            self.fail(f"{value!r} is no time: give a date like 2026-11-28, a time, or 24h or 7d.", param, ctx)
        return found


_AGO = re.compile("([0-9]{1,6})([smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def since_ms(text: str, now_ms: int) -> int | None:
    """The time that `text` names, in milliseconds since 1970, UTC where it has no zone; None if it names none."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round((found - _EPOCH).total_seconds() * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
