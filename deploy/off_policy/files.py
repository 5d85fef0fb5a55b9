"""Logged decisions and target probabilities from files of any format (`deploy.files.tables`).

A row of a log is an item that was shown, its reward, and the probability with which it was chosen given the items above
it. Rows with the same `list` are one list; without that column, each row is a decision.

A row of a target policy is an item and the probability with which the policy would choose it: in the list and at the
position that it names, else in every list, at every position.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deploy.errors import BadSource
from deploy.files.tables import Table
from deploy.files.vocabulary import COLUMNS, plain
from deploy.off_policy.decision_log import DecisionLog
from inference.off_policy.comparison import Target
from inference.off_policy.lists import Lists
from inference.off_policy.rewards import RewardModel

MAX_ROWS = 1_000_000
MAX_PLACES = 100
MAX_REWARD = 1e6
WHOLE = 1e-3
"""Probabilities of a list's place that sum to 1 up to this are the whole policy."""

NAMES = {
    "item": ("action", *COLUMNS["item"]),
    "reward": ("reward", "click", "clicks", "clicked", "outcome"),
    "propensity": ("propensity", "propensityscore", "pscore", "loggingprobability"),
    "list": ("list", "listid", "slate", "slateid", "decision", "impression", "impressionid", "request"),
    "position": ("position", "place", "slot", "rank"),
    "user": COLUMNS["user"],
    "probability": ("probability", "targetprobability", "chance", "prob"),
}
LOG_ROLES, TARGET_ROLES = ("item", "reward", "propensity", "list", "position", "user"), (
    "item", "probability", "list", "position",
)  # fmt: skip
NEEDED = {"item", "reward", "propensity", "probability"}


def roles(table: Table, wanted: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The column of each role: the one that is given, else one with a usual name. Raises `BadSource`."""
    found: dict[str, str] = {}
    for role in wanted:
        same = {plain(name): name for name in reversed(table.names)}
        words = (plain(given[role]),) if role in given else NAMES[role]
        name = next((same[word] for word in words if word in same), None)
        if name is not None and name not in found.values():
            found[role] = name
        elif role in given or role in NEEDED:
            raise BadSource(
                f"{table.path} has no column for the {role}; its columns are {', '.join(table.names[:12])}. Name it: "
                f"--column {role}=NAME."
            )
    return found


def read_log(path: Path, given: Mapping[str, str], places: int | None) -> DecisionLog:
    """The decisions of a file. With `places`, only the first ones of each list.

    Lists with an unusable row are left out and counted. Raises `BadSource`.
    """
    with Table(path) as table:
        found = roles(table, LOG_ROLES, given)
        rows = _rows(table, found)
        unreadable = sum(table.unreadable.values())
    lists: dict[str, list[tuple[int, str, float, float]]] = {}
    users: dict[str, str] = {}
    bad: Counter[str] = Counter()
    broken: set[str] = set()
    for number, row in enumerate(rows):
        key = row.get("list") or str(number + 1)
        item, reward, propensity = row.get("item"), _number(row.get("reward")), _number(row.get("propensity"))
        position = _whole(row["position"]) if row.get("position") else len(lists.get(key, ())) if "list" in found else 0
        why = _unusable(item, reward, propensity, position)
        if why:
            bad[why] += 1
            broken.add(key)
            continue
        assert item is not None
        lists.setdefault(key, []).append((position, item, reward, propensity))
        users[key] = row.get("user") or key
    for key, entries in lists.items():
        if len({entry[0] for entry in entries}) < len(entries) or len({entry[1] for entry in entries}) < len(entries):
            bad["an item or a position twice in a list"] += 1
            broken.add(key)
    kept = {key: sorted(entries)[:places] for key, entries in lists.items() if key not in broken}
    note = f"{path.name}: {len(rows):,} rows, {len(kept):,} lists or decisions used"
    note += f", {len(broken):,} left out" if broken else ""
    note += "".join(f"; {count:,} x {why}" for why, count in bad.items())
    note += f"; {unreadable:,} unreadable rows" if unreadable else ""
    if not kept:
        raise BadSource(f"no row of {path} can be used ({note}). Check the columns, or name them with --column.")
    if "user" not in found:
        note += "; no column for the user, so each list counts as one user"
    return _log(kept, users, note)


def _log(lists: Mapping[str, list[tuple[int, str, float, float]]], users: Mapping[str, str], note: str) -> DecisionLog:
    width = max(map(len, lists.values()))
    shape = len(lists), width
    items, positions = np.full(shape, -1, np.int64), np.full(shape, -1, np.int64)
    rewards, propensities = np.zeros(shape), np.ones(shape)
    numbers: dict[str, int] = {}
    people: dict[str, int] = {}
    for row, entries in enumerate(lists.values()):
        for at, (position, item, reward, propensity) in enumerate(entries):
            items[row, at] = numbers.setdefault(item, len(numbers))
            positions[row, at], rewards[row, at], propensities[row, at] = position, reward, propensity
    of = np.array([people.setdefault(users[key], len(people)) for key in lists], np.int64)
    return DecisionLog(
        Lists(of, rewards, propensities, items >= 0), items, positions, tuple(numbers), tuple(lists), note
    )


def read_target(path: Path, log: DecisionLog, model: RewardModel, given: Mapping[str, str]) -> Target:
    """A policy of a file. A logged item that it does not name has the probability 0. Raises `BadSource`."""
    with Table(path) as table:
        found = roles(table, TARGET_ROLES, given)
        rows = _rows(table, found)
    chances: dict[tuple[str, str], dict[str, float]] = {}
    for number, row in enumerate(rows):
        item, chance, position = row.get("item"), _number(row.get("probability")), row.get("position") or ""
        if not item or not 0 <= chance <= 1 or (position and _whole(position) < 0):
            raise BadSource(
                f"row {number + 1:,} of {path} has no item, no position from 0 or no probability from 0 to 1; correct "
                "or remove it."
            )
        place = (row.get("list") or "", str(_whole(position)) if position else "")
        named = chances.setdefault(place, {})
        if item in named:
            raise BadSource(f"row {number + 1:,} of {path} repeats an item at the same place; remove one of the rows.")
        named[item] = chance
    for named in chances.values():
        if sum(named.values()) > 1 + WHOLE:
            raise BadSource(f"probabilities of {path} sum to more than 1 at the same place; they must be at most 1.")
    return _target(chances, log, model)


def _target(chances: Mapping[tuple[str, str], Mapping[str, float]], log: DecisionLog, model: RewardModel) -> Target:
    numbers = {item: number for number, item in enumerate(log.names)}
    prepared = {
        place: (
            np.array([numbers[item] for item in named if item in numbers], np.int64),
            np.array([chance for item, chance in named.items() if item in numbers]),
            sum(named.values()),
        )
        for place, named in chances.items()
    }
    found, added, whole = np.ones(log.items.shape), np.zeros(log.items.shape), True
    means: dict[tuple[tuple[str, str], int], float] = {}
    for row, key in enumerate(log.keys):
        for at, item in enumerate(log.items[row].tolist()):
            if item < 0:
                continue
            position = str(log.positions[row, at])
            place = next(
                (each for each in ((key, position), (key, ""), ("", position), ("", "")) if each in chances), None
            )
            if place is None:
                found[row, at], whole = 0.0, False
                continue
            found[row, at] = chances[place].get(log.names[item], 0.0)
            whole &= abs(prepared[place][2] - 1.0) <= WHOLE
            fold = int(model.folds[row])
            if (place, fold) not in means:
                of, weights, _ = prepared[place]
                means[place, fold] = float(weights @ model.items[fold, of])
            added[row, at] = means[place, fold]
    return Target(found, added if whole else None)


def _rows(table: Table, found: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows by role, without empty cells. Raises `BadSource` for too many."""
    table.choose("chosen", list(found.values()))
    if table.query("SELECT count(*) FROM rows")[0][0] > MAX_ROWS:
        raise BadSource(f"{table.path} has more than {MAX_ROWS:,} rows; give a part of it.")
    columns = ", ".join(f"c{at}" for at in range(len(found)))
    return [
        {role: cell for role, cell in zip(found, row, strict=True) if cell is not None and cell != ""}
        for row in table.stream(f"SELECT {columns} FROM chosen ORDER BY row")  # noqa: S608 - names of our own
    ]


def _unusable(item: str | None, reward: float, propensity: float, position: int) -> str:
    if not item:
        return "no item"
    if not abs(reward) <= MAX_REWARD:
        return f"no reward between -{MAX_REWARD:,.0f} and {MAX_REWARD:,.0f}"
    if not 0 < propensity <= 1:
        return "no propensity above 0 and at most 1"
    if not 0 <= position < MAX_PLACES:
        return f"no position from 0 to {MAX_PLACES - 1}"
    return ""


def _number(text: str | None) -> float:
    if text in {"true", "false"}:
        return float(text == "true")
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _whole(text: str) -> int:
    number = _number(text)
    return int(number) if number.is_integer() and 0 <= number <= MAX_PLACES else -1
