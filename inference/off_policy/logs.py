"""Logged lists: what each list showed, with which probabilities, and what it earned. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from inference.off_policy.lists import Lists
from inference.off_policy.terms import Ints
from schemas.feedback import Feedback, Outcome, Shown

NO_ITEM = -1


class LoggedList(NamedTuple):
    """One list: its id, who saw it, when it was published (in ms), its entries in order, and what each earned."""

    name: str
    user: str
    scene: str
    published: int
    entries: tuple[Shown, ...]
    rewards: tuple[float, ...]


@dataclass
class Joined:
    """`lists` in the order of time. Left out: `bare` lists whose feedback does not say what they showed, `broken` ones
    with a probability of 0, a reward beyond -1 and 1 or an item twice, and `erased` records."""

    lists: list[LoggedList]
    bare: int = 0
    broken: int = 0
    erased: int = 0

    def __str__(self) -> str:
        return (
            f"{len(self.lists):,} lists; left out: {self.bare:,} without what they showed, {self.broken:,} with an "
            f"impossible probability or reward or an item twice, {self.erased:,} records of erased users"
        )


@dataclass
class _List:
    shown: Feedback | None
    published: int
    rewards: dict[str, tuple[int, float]]


def joined(feedback: Iterable[Feedback], since: Mapping[str, int] = MappingProxyType({})) -> Joined:
    """The lists that `feedback`, in any order, is about. The reward of an entry is that of the newest reaction to it, 0
    if there is none. Of users in `since`, only what is younger than that time is used."""
    known: dict[str, _List] = {}
    found = Joined([])
    for one in feedback:
        if one.ts <= since.get(one.user, -1):
            found.erased += 1
            continue
        at = one.ts - int(one.delay_ms or 0.0)
        of = known.setdefault(one.list, _List(None, at, {}))
        of.published = min(of.published, at)
        if one.shown and of.shown is None:
            of.shown = one
        if one.item is not None and one.outcome is not Outcome.NOT_TAKEN:
            of.rewards[one.item] = max(of.rewards.get(one.item, (-1, 0.0)), (one.ts, one.reward))
    for of in known.values():
        if of.shown is None:
            found.bare += 1
            continue
        entries = of.shown.shown
        rewards = tuple(of.rewards.get(entry.item, (0, 0.0))[1] for entry in entries)
        once = len({entry.item for entry in entries}) == len(entries)
        possible = all(entry.propensity > 0 for entry in entries) and all(-1 <= reward <= 1 for reward in rewards)
        if not (once and possible):
            found.broken += 1
            continue
        found.lists.append(LoggedList(of.shown.list, of.shown.user, of.shown.scene, of.published, entries, rewards))
    found.lists.sort(key=lambda one: one.published)
    return found


def arrays(lists: Iterable[LoggedList], numbers: Mapping[str, int], places: int) -> tuple[Lists, Ints]:
    """The first `places` of each list, and the items' numbers int64 [L, places], `NO_ITEM` where a place is not filled.
    `numbers` has every item."""
    given = list(lists)
    people: dict[str, int] = {}
    rewards, propensities = np.zeros((len(given), places)), np.ones((len(given), places))
    items = np.full((len(given), places), NO_ITEM, np.int64)
    for row, one in enumerate(given):
        for at, (entry, reward) in enumerate(zip(one.entries[:places], one.rewards, strict=False)):
            items[row, at] = numbers[entry.item]
            rewards[row, at], propensities[row, at] = reward, entry.propensity
    users = np.array([people.setdefault(one.user, len(people)) for one in given], np.int64)
    return Lists(users, rewards, propensities, items >= 0), items
