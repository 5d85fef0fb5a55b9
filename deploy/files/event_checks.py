"""Plausibility checks of the events of a file; each warning names the option that would change it."""

from collections import Counter
from collections.abc import Mapping

from deploy.files.column_roles import OPTIONS
from deploy.files.drafts import Draft
from deploy.files.times import EARLY_MS
from schemas.actions import strength
from schemas.events import EventKind

FEW = 20
"""Up to this many rows, one user having most of them is not reported."""

NO_LIKES = (
    "nothing counts as a like. Like, purchase, click and cart events do, and ratings of at least four fifths of the "
    "best. --rating-max sets the best rating, --map-kind what a word means, --kind one kind for all rows."
)


def liked(counts: Mapping[tuple[str, float | None], int]) -> int:
    """The number of events that count as likes, by the same rule as in a worker."""
    return sum(rows for (kind, value), rows in counts.items() if strength(EventKind(kind), value) > 0)


def by_kind(counts: Mapping[tuple[str, float | None], int]) -> str:
    """How many events of each kind are likes, as text."""
    kinds, likes = Counter[str](), Counter[str]()
    for (kind, value), rows in counts.items():
        kinds[kind] += rows
        likes[kind] += rows if strength(EventKind(kind), value) > 0 else 0
    return ", ".join(f"{likes[kind]:,} of {rows:,} {kind}" for kind, rows in kinds.most_common())


def warn(draft: Draft, counts: Mapping[tuple[str, float | None], int]) -> None:
    """Report the likes, and warn of everything implausible in the table `events`."""
    table, tally, report, columns = draft.table, draft.tally, draft.report, draft.columns
    report.guess("likes", by_kind(counts) or "none", "--map-kind, --rating-max")
    if tally.used and not liked(counts):
        report.warn(NO_LIKES)
    if tally.bad * 2 > tally.rows:
        report.warn(f"most rows are rejected, {tally.bad:,} of {tally.rows:,}: the reasons above name the options.")
    elif tally.bad:
        report.warn(f"{tally.bad:,} of {tally.rows:,} rows are rejected: the reasons above name the options.")
    if not tally.used:
        return
    early, total, users, items = table.query(
        f"SELECT count(*) FILTER (WHERE ts < {EARLY_MS}), count(*), count(DISTINCT usr), count(DISTINCT item) "
        "FROM events WHERE why = 0"
    )[0]
    most = table.query("SELECT max(n) FROM (SELECT count(*) AS n FROM events WHERE why = 0 GROUP BY usr)")[0][0]
    report.guess("users and items", f"{users:,} users, {items:,} items", f"{OPTIONS['user']}, {OPTIONS['item']}")
    if columns["time"] is not None:
        first, last = table.query(
            "SELECT strftime(make_timestamp(min(ts) * 1000), '%Y-%m-%d'), "
            "strftime(make_timestamp(max(ts) * 1000), '%Y-%m-%d') FROM events WHERE why = 0"
        )[0]
        report.guess("days", f"{first} to {last}", "--time-format")
    if early:
        which = "all" if early == total else f"{early:,} of {total:,}"
        report.warn(
            f"{which} times are before 1980, in the column {columns['time']!r}: set their format with --time-format."
        )
    if most * 2 > total > FEW:
        report.warn(
            f"one user has {most:,} of {total:,} rows: is {columns['user']!r} the user column? "
            f"{OPTIONS['user']} selects another."
        )
    missing = sum(each.rows for reason, each in tally.left_out.items() if f"{columns['item']!r}" in reason)
    if missing * 2 >= tally.rows:
        report.warn(
            f"{missing:,} of {tally.rows:,} rows have no item: is {columns['item']!r} the item column? "
            f"{OPTIONS['item']} selects another."
        )
