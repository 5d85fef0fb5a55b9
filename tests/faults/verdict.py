"""What was accepted beside what was folded and answered, and which promise that breaks. Pure.

Times are seconds of one steady clock.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schemas.limits import MAX_ORIGINAL_BYTES
from streams.fold.context import EMPTY, Context

Place = tuple[int, int]
"""Partition and offset on `ouzel.events`."""


@dataclass(frozen=True)
class Accepted:
    """An event that calls for a list: `user`, where it stands, and when the broker had it."""

    user: str
    place: Place
    at: float


@dataclass(frozen=True)
class Answer:
    """A list: for whom, which event it answers, and when a reader had it."""

    user: str
    place: Place
    at: float


@dataclass(frozen=True)
class Outage:
    """When there may have been no worker, no broker or no disk: from the blow until everything worked again."""

    began: float
    ended: float


@dataclass(frozen=True)
class Folds:
    """How the contexts that are there differ from those of an undisturbed fold.

    `lost` and `twice` are events; `differing` are people whose context differs in any way.
    """

    lost: int
    twice: int
    differing: int


@dataclass(frozen=True)
class Verdict:
    """What a run came to. Everything but `accepted`, `refused` and `answered` must be 0.

    `refused` are the records that belong on the dead letters, `wrong_letters` those that are not there, not with their
    bytes, or there without cause. `miscounted` are items that the item graph has counted too often or too seldom.
    `without_list` are people with an event that no list answered in time.
    """

    accepted: int
    lost: int
    folded_twice: int
    differing: int
    miscounted: int
    refused: int
    wrong_letters: int
    without_list: int

    def broken(self) -> tuple[str, ...]:
        """The promises that did not hold, in words; none if all did."""
        found = {
            f"{self.lost} accepted events are in nobody's context": self.lost,
            f"{self.folded_twice} events were folded twice": self.folded_twice,
            f"{self.differing} people's contexts are not those of an undisturbed fold": self.differing,
            f"{self.miscounted} items were not counted once for each event": self.miscounted,
            f"{self.wrong_letters} dead letters are missing, without their bytes, or without cause": self.wrong_letters,
            f"{self.without_list} people had no list in time": self.without_list,
        }
        return tuple(sentence for sentence, count in found.items() if count)


def folds(expected: Mapping[str, Context], held: Mapping[str, Context]) -> Folds:
    """Compare everybody's context. An event that left its window since is found missing by the counts."""
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
    """The events in a context: the recent interactions, and what else is remembered by its id."""
    recent = Counter(done.event for scene in context.scenes.values() for done in scene.recent)
    return recent | Counter(context.ids)


def _met(context: Context) -> int:
    return sum(scene.met for scene in context.scenes.values())


def miscounted(expected: Mapping[str, int], counted: Mapping[str, int]) -> int:
    """Items whose count in the item graph is not that of their accepted events."""
    return sum(expected.get(item, 0) != counted.get(item, 0) for item in expected.keys() | counted.keys())


def wrong_letters(refused: Mapping[Place, bytes | None], letters: Iterable[tuple[Place, bytes | None]]) -> set[Place]:
    """Where dead letters are missing, without the original bytes, or without cause. The same letter may come twice, and
    an original that is larger than any letter is left out."""
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
    """When an event that came at `at` must have been answered: its deadline starts anew after each outage before it."""
    end = at + deadline
    for outage in sorted(outages, key=lambda each: each.began):
        if outage.began <= end and outage.ended >= at:
            end = max(end, outage.ended + deadline)
    return end


def unanswered(
    accepted: Iterable[Accepted], answers: Iterable[Answer], outages: Sequence[Outage], deadline: float
) -> list[Accepted]:
    """The events that no list of theirs, or of a later event of the same person, answered in time."""
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
    """Places in order, each with when it or a later one was first answered."""
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
    rows = [
        (v.accepted, v.lost, v.folded_twice, v.differing, v.miscounted, v.refused, v.wrong_letters, v.without_list)
        for v in verdicts
    ]
    return Verdict(*(sum(column) for column in zip(*rows, strict=True))) if rows else Verdict(0, 0, 0, 0, 0, 0, 0, 0)


def quantiles(seconds: Iterable[float]) -> dict[str, float]:
    """The median and the greatest; zeros for nothing."""
    row = sorted(seconds)
    return {"p50": round(row[len(row) // 2], 3), "max": round(row[-1], 3)} if row else {"p50": 0.0, "max": 0.0}


def people(events: Iterable[Accepted]) -> int:
    """How many different people these events are of."""
    return len({event.user for event in events})
