"""Assign columns to roles: by the options, else by name, else, in a file without names, by content."""

import re
from collections.abc import Collection, Sequence

from deploy.errors import BadSource
from deploy.files.tables import Table
from deploy.files.vocabulary import COLUMNS, ITEM_FILE_IDS, KINDS, MISSING, plain

OPTIONS = {
    "user": "--user-column",
    "item": "--item-column",
    "time": "--time-column",
    "rating": "--rating-column",
    "kind": "--kind-column",
    "id": "--id-column",
    "item id": "--items-id-column",
    "title": "--title-column",
    "text": "--text-column",
    "attributes": "--attribute-column",
    "published": "--published-column",
}
"""The option that names the column of each role."""

CONTENT_ROWS = 1_000


def named(table: Table, role: str, name: str) -> str:
    """The column that an option names, ignoring case, or by number from 1. Raises `BadSource`."""
    names = table.names
    same = [each for each in names if each == name] or [each for each in names if plain(each) == plain(name)]
    if not same and name in table.objects:
        inner = table.objects[name]
        raise BadSource(
            f"the column {name!r} of {table.path} holds objects. Name one of their fields: "
            + " or ".join(f"{OPTIONS[role]} {each}" for each in inner[:5])
        )
    if not same and name.isdecimal() and 1 <= int(name) <= len(names):
        same = [names[int(name) - 1]]
    if not same:
        raise BadSource(f"{table.path} has no column {name!r} for {OPTIONS[role]}. {_there(table)}")
    return same[0]


def usual(table: Table, role: str, taken: Collection[str | None] = ()) -> str | None:
    """The column with a usual name for the role: the whole name, or the last part of a nested one."""
    words = ITEM_FILE_IDS if role == "item id" else COLUMNS.get(role, ())
    free = [name for name in table.names if name not in taken]
    by_name: dict[str, str] = {}
    for name in free:
        by_name.setdefault(plain(name), name)
    for name in free:
        by_name.setdefault(plain(name.split(".$")[0]), name)  # {"$oid": ...}, as MongoDB exports ids
        if "." in name:
            by_name.setdefault(plain(name.rpartition(".")[2]), name) if plain(name.rpartition(".")[2]) != "id" else None
    return next((by_name[word] for word in words if word in by_name), None)


def needed(table: Table, role: str) -> BadSource:
    """The error for a role without a column."""
    return BadSource(
        f"{table.path} has no column that looks like the {role}. {_there(table)} Name it: {OPTIONS[role]}."
    )


def by_content(table: Table, given: Collection[str | None]) -> dict[str, str]:
    """The roles of the columns of a file without names; `given` are the columns that options name.

    The kind is recognised by its words, the time by its format, the rating by its range. Of the remaining columns, the
    first is the user and the second the item.
    """
    names = [name for name in table.names if name not in given]
    rows = table.query(f"SELECT {', '.join(table.text(name) for name in names)} FROM rows LIMIT {CONTENT_ROWS}")
    columns = {name: [str(row[at]).strip() for row in rows if row[at] is not None] for at, name in enumerate(names)}
    found: dict[str, str] = {}
    for role, fits, order in (
        ("kind", _are_kinds, names),
        ("time", _are_dates, names),
        ("time", _are_counts, names[::-1]),
    ):
        match = next((name for name in order if name not in found.values() and fits(columns[name])), None)
        if match is not None:
            found.setdefault(role, match)
    left = [name for name in names if name not in found.values()]
    found |= dict(zip(("user", "item"), left, strict=False))
    rating = next((name for name in left[2:] if _are_ratings(columns[name])), None)
    if rating is not None and "kind" not in found:
        found["rating"] = rating
    return found


def _are_kinds(values: Sequence[str]) -> bool:
    known = sum(plain(value) in KINDS and not value.isdecimal() for value in values)
    return bool(values) and known * 2 > len(values)


def _are_dates(values: Sequence[str]) -> bool:
    return bool(values) and all(re.fullmatch(r"(?=.*\d)[^\d]*\d{1,4}([-/.: ].*){2,}", value) for value in values)


def _are_counts(values: Sequence[str]) -> bool:
    """Whether these are seconds, milliseconds, ... since 1970, for times from 1980 on."""
    numbers = [int(value) for value in values if value.isdecimal()]
    return (
        bool(values)
        and len(numbers) == len(values)
        and any(all(0.3e9 * unit < number < 4e9 * unit for number in numbers) for unit in (1, 10**3, 10**6, 10**9))
    )


def _are_ratings(values: Sequence[str]) -> bool:
    try:
        numbers = {float(value) for value in values if value.lower() not in MISSING}
    except ValueError:
        return False
    return 1 < len(numbers) <= 101 and min(numbers) >= 0 and max(numbers) <= 100


def _there(table: Table) -> str:
    names = table.names
    return f"Its columns are: {', '.join(names[:40])}{' ...' if len(names) > 40 else ''}."
