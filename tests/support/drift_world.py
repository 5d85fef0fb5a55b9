"""Lists of one frozen champion for users whose taste or habits may change: what its drift is measured on.

Simulated: users in groups with a preference for items (as in `tests.support.taste_world`), the hours at which they
come, and how long their histories are. Real: the champion's rankings (transitions counted from earlier likes, never
trained again), its chance of a hit, which follows from its scores, and whether the next like is in its list.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.versions.drift import DAY_MS, HOUR_MS, Drift, Observed
from inference.versions.rules import Rules
from tests.support.taste_world import GROUPS, ITEMS, RECENT, TOP, USERS, transitions

Ints = NDArray[np.int64]
LEARNED = 3_000
"""Likes that the champion learned."""

LISTS_A_DAY = 5_000
GENRES = 12
CHUNK = 1_000
HOURS = 0.1 + np.sin(np.arange(24) / 24 * np.pi) ** 2
"""How busy each hour is, relative to others."""

SKEW = 0.9
"""How much the users of a group agree: the champion's hit ratio is about .26, as of real lists."""


@dataclass(frozen=True)
class Change:
    """What changes: the share of the groups whose taste flips, hours by which users come later, and the share of lists
    that are for users with short histories."""

    flipped: float = 0.0
    later: int = 0
    newcomers: float = 0.0


NOTHING = Change()


def lists(seed: int, count: int, change: Change = NOTHING, at: int = 0) -> Iterator[Observed]:
    """The champion's lists in order of time; from number `at` on, everything has changed."""
    rng = np.random.default_rng(seed)
    popular = 1.0 / np.arange(1, ITEMS + 1) ** SKEW
    before = np.array([rng.permutation(ITEMS) for _ in range(GROUPS)])
    after = before.copy()
    for group in range(round(change.flipped * GROUPS)):
        after[group] = rng.permutation(ITEMS)
    users = rng.integers(0, USERS, LEARNED + count)
    place = rng.choice(ITEMS, LEARNED + count, p=popular / popular.sum())
    changed = np.arange(LEARNED + count) >= LEARNED + at
    items = np.where(changed, after[users % GROUPS, place], before[users % GROUPS, place])
    model = transitions(list(zip(users[:LEARNED].tolist(), items[:LEARNED].tolist(), strict=True)))
    taken, chance = _asked(model, users, items)
    hours = rng.choice(24, count, p=HOURS / HOURS.sum())
    histories = np.minimum(rng.geometric(0.05, count), 64)
    new = rng.random(count) < change.newcomers
    for number in range(count):
        now = bool(changed[LEARNED + number])
        hour = (hours[number] + (change.later if now else 0)) % 24
        yield Observed(
            taken=bool(taken[number]),
            ts=DAY_MS * (20_000 + number // LISTS_A_DAY) + int(hour) * HOUR_MS + 1,
            chance=float(chance[number]),
            history=1 if now and new[number] else int(histories[number]),
            attributes=(f"genre {items[LEARNED + number] % GENRES}",) if taken[number] else None,
        )


def alarmed(seed: int, count: int, change: Change, rules: Rules, at: int = 0) -> tuple[int | None, str]:
    """After how many lists since the change a measure drifts, and which; None if none does. With a change, `at` must
    be late enough for the reference; a drift before it counts as 0."""
    drift = Drift.of("champion", rules)
    for number, each in enumerate(lists(seed, count, change, at)):
        drift.add(each, rules)
        if number % 10 == 0:
            found = [finding.measure for finding in drift.findings(rules) if finding.drifted]
            if found:
                return max(0, number + 1 - at), found[0]
    return None, ""


def _asked(model: NDArray[np.float32], users: Ints, items: Ints) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of each like after those that were learned: whether the champion's list had it, and the chance that it gave."""
    recent = _recent(users, items)
    padded = np.vstack((model, np.zeros((1, ITEMS), np.float32)))
    taken, chance = [], []
    for first in range(LEARNED, len(items), CHUNK):
        rows = slice(first, first + CHUNK)
        scores = padded[recent[rows]].sum(1) + 0.01
        best = np.argpartition(-scores, TOP, axis=1)[:, :TOP]
        taken.append((best == items[rows, None]).any(1))
        chance.append(np.take_along_axis(scores, best, 1).sum(1) / scores.sum(1))
    return np.concatenate(taken), np.concatenate(chance)


def _recent(users: Ints, items: Ints) -> Ints:
    """The last `RECENT` items of the user before each like; `ITEMS` where there were fewer."""
    found = np.full((len(items), RECENT), ITEMS, np.int64)
    last = np.full((USERS, RECENT), ITEMS, np.int64)
    for number, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        found[number] = last[user]
        last[user, 1:] = last[user, :-1]
        last[user, 0] = item
    return found
