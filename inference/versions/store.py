"""The versions of the model on disk: one folder each, complete or absent, with all that was measured of it.

ROOT/7/version.json        where it comes from, what it learned, what that cost
ROOT/7/adapter/            the trained parameters, the vectors of items, and the card (`inference.item_tokens.adapter`)
ROOT/7/order.safetensors   how the trained network ranked, until the version is judged (`gates.trained_order`)
ROOT/7/gates.json          the results of the gates, once it was judged
ROOT/7/verdicts.jsonl      what happened to it later, one line each

Version 1 is the one that `ouzel triton build` made; it needs no folder here. A folder is written aside, synced and
renamed. What is written later is replaced atomically, and never in Triton's model repository, where a changed file
makes Triton load a version again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from inference.errors import WeightsError

RECORD = "version.json"
GATES = "gates.json"
VERDICTS = "verdicts.jsonl"
TEMPORARY = ".tmp-"
FIRST = 1
"""The version that `ouzel triton build` made."""

Kind = Literal["full", "items"]


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one partition of a topic that a version learned: from offset `first` to before `behind`."""

    topic: str
    partition: int
    first: int
    behind: int


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from. `name` is what it reports with scores (`Scores.model_version`).

    `parent` is the number of the version that training started from. `kind` is "items" if only the rows of single items
    were learned. The events that were new to it are from `since_ms` (0 in older records) to `cut_ms`; `events` and
    `likes` count them. `tests` are the likes after them that were held out. `learned` are the records that it read,
    with older and held-out ones. Cost: `seconds`, `cpu_seconds`, `peak_mib`.
    """

    number: Annotated[int, Meta(ge=1)]
    name: str
    parent: int
    kind: Kind
    made_ms: int
    cut_ms: int
    events: int
    likes: int
    tests: int
    since_ms: int = 0
    learned: tuple[Learned, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one gate: `figure`, its 95% interval if it has one, and the `threshold` that decided.

    `text` is one sentence for operators: what was measured against what, and if it failed, what would change it.
    """

    name: str
    figure: float
    threshold: float
    passed: bool
    text: str
    low: float | None = None
    high: float | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to a version: `event` is shadow, canary, promoted, rejected, withdrawn, rolled_back or retired.

    For those decided by a comparison: the difference to the champion in hit ratio with its interval, after `pairs`
    likes, and `lists` shown to users meanwhile.
    """

    ts: int
    event: str
    reason: str
    champion: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    lists: int = 0


class VersionStore:
    """The versions under one root. One process writes at a time; any may read."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def numbers(self) -> list[int]:
        """The numbers of complete versions, ascending."""
        if not self.root.is_dir():
            return []
        return sorted(
            int(each.name) for each in self.root.iterdir() if each.name.isdecimal() and (each / RECORD).is_file()
        )

    def judged(self) -> list[int]:
        """The numbers with verdicts, ascending, also of versions that are not here: the first, and deleted ones."""
        return sorted(int(each.parent.name) for each in self.root.glob(f"*/{VERDICTS}") if each.parent.name.isdecimal())

    def next_number(self) -> int:
        return max([*self.numbers(), *self.judged()], default=FIRST) + 1

    def folder(self, number: int) -> Path:
        return self.root / str(number)

    @contextmanager
    def written(self, number: int) -> Iterator[Path]:
        """A folder to write a version into, which becomes that version at the end of the block, unless it raises."""
        self.root.mkdir(parents=True, exist_ok=True)
        aside = self.root / f"{TEMPORARY}{number}-{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
            for each in [*aside.rglob("*"), aside]:
                _sync(each)
            aside.rename(self.folder(number))
            _sync(self.root)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def clear_unfinished(self) -> int:
        """Delete what a writer that died left; how many folders these were."""
        left = list(self.root.glob(f"{TEMPORARY}*"))
        for each in left:
            shutil.rmtree(each, ignore_errors=True)
        return len(left)

    def record(self, number: int) -> Version:
        """Raises `WeightsError`."""
        found: Version = self._read(number, RECORD, Version)
        return found

    def gates(self, number: int) -> list[Gate]:
        """The results of the gates; none if it was not judged. Raises `WeightsError`."""
        found: list[Gate] = self._read(number, GATES, list[Gate]) if (self.folder(number) / GATES).exists() else []
        return found

    def set_gates(self, number: int, gates: list[Gate]) -> None:
        replace(self.folder(number) / GATES, msgspec.json.format(msgspec.json.encode(gates), indent=2))

    def verdicts(self, number: int) -> list[Verdict]:
        """Oldest first. Lines that cannot be read are left out: `unread` has a sentence about each."""
        return [found for found in self._lines(number) if isinstance(found, Verdict)]

    def unread(self, number: int) -> list[str]:
        """What is wrong with each line of the verdicts that cannot be read, and the next step."""
        return [found for found in self._lines(number) if isinstance(found, str)]

    def add_verdict(self, number: int, verdict: Verdict) -> None:
        """Append durably. A line that a crash cut off is ended first, so that the verdict has its own line."""
        folder = self.folder(number)
        folder.mkdir(parents=True, exist_ok=True)  # version 1 has none
        path = folder / VERDICTS
        before = path.read_bytes() if path.exists() else b""
        with path.open("ab") as out:
            out.write((b"" if before.endswith(b"\n") or not before else b"\n") + msgspec.json.encode(verdict) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        _sync(folder)

    def _lines(self, number: int) -> Iterator[Verdict | str]:
        """Each line of the verdicts, or what is wrong with it."""
        path = self.folder(number) / VERDICTS
        for place, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):
            if line:
                try:
                    yield msgspec.json.decode(line, type=Verdict)
                except msgspec.DecodeError as error:
                    why = "A crash cut this verdict off, and it does not count: delete the line when you have read it."
                    yield f"{path}, line {place}: {error}. {why}"

    def _read(self, number: int, name: str, kind: Any) -> Any:
        path = self.folder(number) / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError) as error:
            raise WeightsError(f"{path}: {error}; delete version {number}, or copy its complete folder") from None


def replace(path: Path, content: bytes) -> None:
    """Replace a file atomically and durably."""
    aside = path.with_name(f"{TEMPORARY}{path.name}-{os.getpid()}")
    with aside.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    aside.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    at = os.open(path, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
