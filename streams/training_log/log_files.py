"""The names of the training log's files, and what follows from them. Pure.

    ouzel.events/day=2026-11-27/ouzel.events-3-00000000000000000120-00000000000000000450.parquet

holds the records of partition 3 from offset 120 up to, but without, 450. The names alone say how far a partition is
logged, so nothing else has to be kept in step with the files: a writer that died continues behind its last file.

Ranges may overlap: of two writers of a partition, one of which was thought dead; and of small files and the larger one
that replaces them. `select` gives a reader each offset once all the same.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple, Self

import msgspec

from schemas.events import Event
from schemas.feedback import Feedback
from schemas.topics import EVENTS, FEEDBACK

LOGGED: dict[str, type[msgspec.Struct]] = {EVENTS.name: Event, FEEDBACK.name: Feedback}
"""The topics that are logged, and their messages."""

_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<first>\d{20})-(?P<behind>\d{20})\.parquet")


@dataclass(frozen=True, order=True)
class LogFile:
    """The records of one partition from offset `first` to before `behind`, logged under `day` (UTC)."""

    topic: str
    partition: int
    first: int
    behind: int
    day: date

    @property
    def folder(self) -> str:
        """Relative to the root of the log."""
        return f"{self.topic}/day={self.day.isoformat()}"

    @property
    def name(self) -> str:
        return f"{self.topic}-{self.partition}-{self.first:020d}-{self.behind:020d}.parquet"

    @property
    def path(self) -> str:
        """Relative to the root of the log."""
        return f"{self.folder}/{self.name}"

    @classmethod
    def of(cls, path: str) -> Self | None:
        """The file of this path, or None where the path is not one that the log writes."""
        folder, _, name = path.rpartition("/")
        found = _NAME.fullmatch(name)
        day = folder.rpartition("/")[2].removeprefix("day=")
        if found is None:
            return None
        partition, first, behind = (int(found[group]) for group in ("partition", "first", "behind"))
        try:
            file = cls(found["topic"], partition, first, behind, date.fromisoformat(day))
        except ValueError:
            return None
        return file if f"/{path}".endswith(f"/{file.path}") and file.first < file.behind else None


@dataclass(frozen=True)
class Stored:
    """A file that was found, with its size in bytes and the time of its last change in nanoseconds."""

    file: LogFile
    size: int
    changed_ns: int


@dataclass(frozen=True)
class Part:
    """What to read of a file: the rows from offset `begin` on."""

    file: LogFile
    begin: int


@dataclass(frozen=True, order=True)
class Range:
    """The records of one partition from offset `first` to before `behind`."""

    topic: str
    partition: int
    first: int
    behind: int


def day_of(ms: int) -> date:
    """The day, in UTC, of a time in milliseconds since 1970; a time outside the calendar has the day next to it."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).date()
    except (OverflowError, OSError, ValueError):
        return date.max if ms > 0 else date.min


def covered(files: Iterable[LogFile]) -> dict[int, int]:
    """The offset that each partition is logged up to, by partition."""
    behind: dict[int, int] = {}
    for file in files:
        behind[file.partition] = max(behind.get(file.partition, 0), file.behind)
    return behind


def select(files: Iterable[LogFile]) -> Iterator[Part]:
    """The files of one topic such that each offset is read once, in the order of the offsets of each partition."""
    partition, behind = -1, 0
    for file in sorted(files, key=lambda each: (each.partition, each.first, -each.behind)):
        if file.partition != partition:
            partition, behind = file.partition, 0
        if file.behind > max(behind, file.first):
            yield Part(file, max(file.first, behind))
            behind = file.behind


def joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The ranges in order, adjacent and overlapping ones as one."""
    found: list[Range] = []
    for each in sorted(ranges):
        last = found[-1] if found else None
        if last and (last.topic, last.partition) == (each.topic, each.partition) and each.first <= last.behind:
            found[-1] = Range(each.topic, each.partition, last.first, max(last.behind, each.behind))
        else:
            found.append(each)
    return tuple(found)


class Size(NamedTuple):
    """The most that one file holds: bytes on disk, and offsets, which are at least its rows."""

    bytes: int
    offsets: int


def to_merge(files: Sequence[Stored], *, today: date, least: int, most: Size) -> list[list[Stored]]:
    """Files of one partition to be rewritten as one, group by group; each group is adjacent and of one day.

    Of today, the newest files are merged once there are `least` of them, and older ones with them if they are not
    larger than the newer ones together: so a row is rewritten about log2(files) times. Of a day that is over, all files
    are merged. No group is larger than `most`.
    """
    groups: list[list[Stored]] = []
    for run in _adjacent(files):
        if run[0].file.day < today:
            groups += [group for group in _filled(run, most) if len(group) > 1]
        elif len(newest := _newest(run, most)) >= least:
            groups.append(newest)
    return groups


def _adjacent(files: Sequence[Stored]) -> list[list[Stored]]:
    """The files in order, those without a gap between them and of the same day together."""
    runs: list[list[Stored]] = []
    behind = -1
    for each in sorted(files, key=lambda one: (one.file.first, -one.file.behind)):
        if runs and each.file.first <= behind and each.file.day == runs[-1][0].file.day:
            runs[-1].append(each)
            behind = max(behind, each.file.behind)
        else:
            runs.append([each])
            behind = each.file.behind
    return runs


def _fits(group: Sequence[Stored], most: Size) -> bool:
    """Whether these files, in order, may become one: without a gap, which another file may enclose, and within the
    bound."""
    behind = group[0].file.first
    for each in group:
        if each.file.first > behind:
            return False
        behind = max(behind, each.file.behind)
    offsets = max(each.file.behind for each in group) - min(each.file.first for each in group)
    return sum(each.size for each in group) <= most.bytes and offsets <= most.offsets


def _filled(run: Sequence[Stored], most: Size) -> Iterator[list[Stored]]:
    group: list[Stored] = []
    for each in run:
        if group and not _fits([*group, each], most):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def _newest(run: Sequence[Stored], most: Size) -> list[Stored]:
    at, total = len(run) - 1, run[-1].size
    while at > 0 and run[at - 1].size <= total and _fits(run[at - 1 :], most):
        at -= 1
        total += run[at].size
    return list(run[at:])
