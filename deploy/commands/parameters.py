"""Parameter types that reject unusable values before any work starts."""

import math
import os
from collections.abc import Iterator
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
