"""Compare accepted events with folded and answered ones, and list broken promises. Pure.

Times are seconds of one monotonic clock.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from schemas.limits import MAX_ORIGINAL_BYTES
from streams.fold.context import EMPTY, Context

Place = tuple[int, int]
"""Partition and offset on `ouzel.events`."""


@dataclass(frozen=True)
class Accepted:
    """An event that must be answered with a list: its user, its place, and when the broker accepted it."""

    user: str
    place: Place
    at: float


@dataclass(frozen=True)
class Answer:
    """A list: its user, the event that it answers, and when a reader had it."""

    user: str
    place: Place
    at: float


@dataclass(frozen=True)
class Made:
    """A list by a version of the model: when its event was accepted, None if unknown, and when a reader had it."""

    version: str
    accepted: float | None
    at: float


@dataclass(frozen=True)
class Span:
    """A time in which lists may come from a version."""

    began: float
    ended: float = float("inf")


@dataclass(frozen=True)
class Outage:
    """A time without a worker, broker or disk: from the fault until everything recovered."""

    began: float
    ended: float


@dataclass(frozen=True)
class Folds:
    """The differences between the contexts and those of an undisturbed fold.

    `lost` and `twice` count events; `differing` counts users whose context differs in any way.
    """

    lost: int
    twice: int
    differing: int


@dataclass(frozen=True)
class Verdict:
    """The result of a run. All counts but `accepted` and `refused` must be 0.

    `refused` counts records that belong on the dead letters, `wrong_letters` those that are missing there, have other
    bytes, or are there without cause. `miscounted` counts items that the item graph has counted too often or too
    rarely. `without_list` counts users with an event that no list answered in time.
    """

    accepted: int
    lost: int
    folded_twice: int
    differing: int
    miscounted: int
    refused: int
    wrong_letters: int
    without_list: int
    unlogged: int = 0
    logged_twice: int = 0
    wrong_rows: int = 0
    wrong_versions: int = 0

    def broken(self) -> tuple[str, ...]:
        """The broken promises in words; empty if all held."""
        found = {
            f"{self.lost} accepted events are in no context": self.lost,
            f"{self.folded_twice} events were folded twice": self.folded_twice,
            f"{self.differing} contexts differ from an undisturbed fold": self.differing,
            f"{self.miscounted} items were not counted once per event": self.miscounted,
            f"{self.wrong_letters} dead letters are missing, without their bytes, or without cause": self.wrong_letters,
            f"{self.without_list} users had no list in time": self.without_list,
            f"{self.unlogged} records are not in the training log": self.unlogged,
            f"{self.logged_twice} records are in the training log twice": self.logged_twice,
            f"{self.wrong_rows} rows of the training log belong to no record or differ from it": self.wrong_rows,
            f"{self.wrong_versions} lists came from a version without a role, or from two": self.wrong_versions,
        }
        return tuple(sentence for sentence, count in found.items() if count)


def folds(expected: Mapping[str, Context], held: Mapping[str, Context]) -> Folds:
    """Compare the contexts of all users. Counts also reveal lost events that have left the window since."""
    lost = twice = differing = 0
    for user in expected.keys() | held.keys():
        ought, is_ = expected.get(user, EMPTY), held.get(user, EMPTY)
        if ought == is_:
            continue
        differing += 1
        wanted, found = _marks(ought), _marks(is_)
        balance = _met(ought) - _met(is_)
        lost += max((wanted - found).total(), balance, 0)
        twice += max((found - wanted).total() if balance <= 0 else 0, -balance, 0)
    return Folds(lost, twice, differing)


def _marks(context: Context) -> Counter[int]:
    """The events in a context: the recent interactions, and other remembered ids."""
    recent = Counter(done.event for scene in context.scenes.values() for done in scene.recent)
    return recent | Counter(context.ids)


def _met(context: Context) -> int:
    return sum(scene.met for scene in context.scenes.values())


def miscounted(expected: Mapping[str, int], counted: Mapping[str, int]) -> int:
    """The number of items whose count in the item graph differs from their accepted events."""
    return sum(expected.get(item, 0) != counted.get(item, 0) for item in expected.keys() | counted.keys())


def wrong_letters(refused: Mapping[Place, bytes | None], letters: Iterable[tuple[Place, bytes | None]]) -> set[Place]:
    """Places with dead letters that are missing, have other bytes, or are there without cause. Duplicates are allowed,
    and originals too large for a letter are left out."""
    seen: dict[Place, bytes | None] = {}
    wrong = set()
    for place, value in letters:
        seen[place] = value
        if place not in refused or _sent_on(refused[place]) != value:
            wrong.add(place)
    return wrong | (refused.keys() - seen.keys())


def _sent_on(original: bytes | None) -> bytes | None:
    return None if original is not None and len(original) > MAX_ORIGINAL_BYTES else original


def due(at: float, outages: Sequence[Outage], deadline: float) -> float:
    """The time by which an event accepted at `at` must be answered: its deadline restarts after each outage."""
    end = at + deadline
    for outage in sorted(outages, key=lambda each: each.began):
        if outage.began <= end and outage.ended >= at:
            end = max(end, outage.ended + deadline)
    return end


def unanswered(
    accepted: Iterable[Accepted], answers: Iterable[Answer], outages: Sequence[Outage], deadline: float
) -> list[Accepted]:
    """The events that no list, triggered by them or by a later event of the same user, answered in time."""
    by_user: dict[str, list[Answer]] = {}
    for answer in answers:
        by_user.setdefault(answer.user, []).append(answer)
    firsts = {user: _first_by_place(given) for user, given in by_user.items()}
    late = []
    for event in accepted:
        at = _answered(firsts.get(event.user, ()), event.place)
        if at is None or at > due(event.at, outages, deadline):
            late.append(event)
    return late


def _first_by_place(answers: list[Answer]) -> list[tuple[Place, float]]:
    """Places in order, each with the first time that it or a later one was answered."""
    found: list[tuple[Place, float]] = []
    first = float("inf")
    for answer in sorted(answers, key=lambda each: each.place, reverse=True):
        first = min(first, answer.at)
        found.append((answer.place, first))
    return found[::-1]


def _answered(firsts: Sequence[tuple[Place, float]], place: Place) -> float | None:
    index = bisect_left(firsts, (place, float("-inf")))
    return firsts[index][1] if index < len(firsts) and firsts[index][0][0] == place[0] else None


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """The sum of several runs."""
    rows = [astuple(verdict) for verdict in verdicts]
    return Verdict(*(sum(column) for column in zip(*rows, strict=True))) if rows else Verdict(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Rows:
    """The differences between the records of a topic and the rows of the training log: places in no row, in several,
    and in a row without such a record or with another message."""

    missing: frozenset[Place]
    twice: frozenset[Place]
    wrong: frozenset[Place]


def rows_of(accepted: Mapping[Place, Any], logged: Iterable[tuple[Place, Any]]) -> Rows:
    """Compare the messages of the records that belong in the log with its rows."""
    seen: set[Place] = set()
    twice, wrong = set(), set()
    for place, message in logged:
        if place in seen:
            twice.add(place)
        seen.add(place)
        if place not in accepted or accepted[place] != message:
            wrong.add(place)
    return Rows(frozenset(accepted.keys() - seen), frozenset(twice), frozenset(wrong))


SLACK_SECONDS = 1.0
"""How much later than the broker the harness may know of an accepted event."""


def without_role(made: Iterable[Made], spans: Mapping[str, Sequence[Span]]) -> list[Made]:
    """The lists by versions that had no role at any time between the event and the arrival of the list."""
    return [
        each
        for each in made
        if not any(
            span.began <= each.at and (each.accepted is None or each.accepted - SLACK_SECONDS <= span.ended)
            for span in spans.get(each.version, ())
        )
    ]


def quantiles(seconds: Iterable[float]) -> dict[str, float]:
    """The median and the maximum; zeros if empty."""
    row = sorted(seconds)
    return {"p50": round(row[len(row) // 2], 3), "max": round(row[-1], 3)} if row else {"p50": 0.0, "max": 0.0}


def distinct_users(events: Iterable[Accepted]) -> int:
    """The number of different users of these events."""
    return len({event.user for event in events})
