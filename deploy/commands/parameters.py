"""Types of what is typed on the command line, so that what cannot work is refused before any work begins."""

import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click


class InFile(click.ParamType):
    """A file to read, which is there and may be read. It is no pipe and no device: it is read more than once."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if why := unreadable(path):
            self.fail(why, param, ctx)
        return path


class OutFile(click.ParamType):
    """A file to write: its folder is there and may be written to, and so may the file if there is one.

    With `make_folder` what runs makes the folders that are missing.
    """

    name = "path"

    def __init__(self, *, make_folder: bool = False) -> None:
        self._make_folder = make_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if path.is_dir():
            self.fail(f"{path} is a folder; name a file in it.", param, ctx)
        if path.exists():
            if not os.access(path, os.W_OK):
                self.fail(f"{path} may not be written to; change its permissions, or name another file.", param, ctx)
            return path
        folder = path.parent
        if not folder.exists() and not self._make_folder:
            self.fail(f"there is no folder {folder}; make it, or name a file elsewhere.", param, ctx)
        if why := unwritable(folder):
            self.fail(why, param, ctx)
        return path


class OutFolder(click.ParamType):
    """A folder to write to: it may be written to, or made where it is not there yet."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if why := unwritable(path):
            self.fail(why, param, ctx)
        return path


class Id(click.ParamType):
    """An id as it is typed. Ids are UTF-8 wherever they are sent, and what is typed may be any bytes."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8; give the id in UTF-8.", param, ctx)
        return str(value)

    def read(self, ctx: click.Context) -> Iterator[str]:
        """The ids on standard input, a line each."""
        for line in click.get_text_stream("stdin", encoding="utf-8", errors="surrogateescape"):
            yield self.convert(line.rstrip("\n"), None, ctx)


class Real(click.FloatRange):
    """A number in a range: neither infinite nor "nan", which every comparison lets through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number to count with.", param, ctx)
        return found


def unreadable(path: Path) -> str | None:
    """Why `path` cannot be read as a file; None if it can."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        return f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}. Check the path."
    if stat.S_ISDIR(mode):
        return f"{path} is a folder; name a file in it."
    if not stat.S_ISREG(mode):
        return (
            f"{path} is a pipe, a socket or a device, and no file; write what comes out of it to a file, and name that."
        )
    if not os.access(path, os.R_OK):
        return f"{path} may not be read; change its permissions, or name another file."
    return None


def unwritable(folder: Path) -> str | None:
    """Why files cannot be written to `folder`, which is made if it is missing; None if they can."""
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir():
        return f"{at} is a file; name another folder than {folder}."
    if not os.access(at, os.W_OK | os.X_OK):
        return f"the folder {at} may not be written to; change its permissions, or name another."
    return None
