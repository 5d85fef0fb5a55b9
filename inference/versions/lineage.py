"""Which versions learned from records of the training log. Pure.

A version read the ranges of offsets in `Version.learned`, and whatever its ancestors read is in its parameters. So a
version learned from a record if it, or a version that it was trained from, read it. That errs on the side of yes: a
record may be of an item outside the catalogue, or older than the newest events that a training looks at.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from inference.versions.store import FIRST, Version


class Place(NamedTuple):
    """A record: its topic, partition and offset."""

    topic: str
    partition: int
    offset: int


class Use(StrEnum):
    """How a version used a record, from the most to the least."""

    TRAINED = "trained"
    """It was new to the version, and in every pass."""

    REPLAYED = "replayed"
    """It was older: context of newer events, and in the part that each pass draws at random, or not."""

    HELD_OUT = "held out"
    """It was among the newest: it fitted the calibration, chose the round and judged the version."""

    INHERITED = "inherited"
    """An ancestor used it."""


USES = tuple(Use)


class Learning(NamedTuple):
    """Version `number` used records as `use`. `through` is the nearest ancestor that used them itself; for records that
    the version used itself, its own number."""

    number: int
    use: Use
    through: int


class Dated(NamedTuple):
    """A record and the time of its event in milliseconds since 1970; None if it is not known."""

    place: Place
    ts: int | None = None


def chain(versions: Mapping[int, Version], number: int) -> list[int]:
    """A version's ancestors, the parent first, down to one that is not among `versions` (built, or deleted)."""
    found = [number]
    while found[-1] in versions and (parent := versions[found[-1]].parent) not in found:
        found.append(parent)
    return found[1:]


def learned_from(versions: Mapping[int, Version], records: Sequence[Dated]) -> list[Learning]:
    """The versions that used one of the records, ascending, each with the strongest of its uses."""
    own: dict[int, Use] = {}
    for number, version in versions.items():
        since = _since(versions, version)
        uses = {use for record in records if (use := _use(version, record, since)) is not None}
        if uses:
            own[number] = min(uses, key=USES.index)
    return list(_with_heirs(versions, own))


def newest_without(versions: Mapping[int, Version], learned: Iterable[Learning]) -> int:
    """The newest version that did not use the records: the one to train from without them. The first, built one, if
    there is no other."""
    used = {each.number for each in learned}
    return max((number for number in versions if number not in used), default=FIRST)


def covers(version: Version, places: Collection[Place]) -> bool:
    """Whether a version itself read one of the places."""
    return any(
        each.topic == place.topic and each.partition == place.partition and each.first <= place.offset < each.behind
        for each in version.learned
        for place in places
    )


def _since(versions: Mapping[int, Version], version: Version) -> int:
    """When the events that were new to a version began, in milliseconds since 1970. An older record does not say; they
    began after those that its parent learned."""
    if version.since_ms or version.parent not in versions:
        return version.since_ms
    return versions[version.parent].cut_ms + 1


def _use(version: Version, record: Dated, since: int) -> Use | None:
    if not covers(version, [record.place]):
        return None
    if record.ts is not None and record.ts > version.cut_ms:
        return Use.HELD_OUT
    if record.ts is not None and record.ts < since:
        return Use.REPLAYED
    return Use.TRAINED


def _with_heirs(versions: Mapping[int, Version], own: Mapping[int, Use]) -> Iterator[Learning]:
    for number in sorted(versions):
        through = next((each for each in (number, *chain(versions, number)) if each in own), None)
        if through is not None:
            yield Learning(number, own[number] if through == number else Use.INHERITED, through)
