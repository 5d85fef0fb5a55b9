"""Convert the rows of a file to events of the contract: identifiers, kinds, times, and event ids."""

from deploy.files import times
from deploy.files.column_roles import OPTIONS
from deploy.files.drafts import Draft
from deploy.files.event_kinds import kind_and_value
from deploy.files.nested_columns import quoted
from deploy.files.vocabulary import MISSING

MAX_ID = 128
UNFIT = f"more than {MAX_ID} characters, or control characters,"
ROW_ORDER_FROM_MS = 946_684_800_000
"""In a file without times, row n is n seconds after the start of the year 2000."""

DROPPED = -1
NAMES = {"user": "usr", "item": "item"}


def convert(draft: Draft) -> None:
    """Create the table `events`: row, usr, item, kind, value, ts, id, key, again, why. A row is used if `why` is 0.

    `key` is a digest of the row's content, the same in every file; `again` counts earlier rows with the same content.
    """
    wanted, table = draft.wanted, draft.table
    for role, name in NAMES.items():
        _identifier(draft, role, name)
    kind_and_value(draft)
    _time(draft)
    own = draft.text("id") if draft.has("id") else "NULL"
    if draft.has("id"):
        draft.guess("id", "id of the event")
        draft.refuse(f"coalesce({own}, '') = ''", f"no id in {draft.where('id')} ({OPTIONS['id']})")
        draft.refuse(_unfit(own), f"{UNFIT} for the id in {draft.where('id')} ({OPTIONS['id']})")
    # Without times, the row order is not part of the content. Ambiguous content is refused above.
    said = f"usr, item, kind, value, {quoted(wanted.scene)}{', ts' if draft.has('time') else ''}"
    table.query(
        "CREATE TABLE events AS SELECT row, usr, item, kind, value, ts, id, why, 0::INTEGER AS again, "
        "usr_pointed, item_pointed, "
        f"md5_number_lower(concat_ws(chr(31), {said})) AS key FROM (SELECT row, usr, item, kind, value, ts, "
        f"usr_pointed, item_pointed, {own}::VARCHAR AS id, {draft.why} AS why FROM {draft.source})"
    )
    for problem, rows in table.unreadable.items():
        draft.tally.refuse(f"{problem} (--delimiter, --encoding)", rows)
    for role, name in NAMES.items():
        written = table.query(f"SELECT count(*) FILTER (WHERE {name}_pointed AND why = 0) FROM events")[0][0]
        if written:
            draft.tally.note(f"with the {role} written like 1.0, read as 1", written)
    _number_repeats(draft)
    for why, rows, first in table.query("SELECT why, count(*), min(row) FROM events GROUP BY why ORDER BY why"):
        if why == 0:
            draft.tally.used = rows
        elif why == DROPPED:
            draft.tally.dropped = rows
        else:
            draft.tally.refuse(draft.reasons[why - 1], rows, table.number(first))


def _identifier(draft: Draft, role: str, name: str) -> None:
    """Derive a user or item id, without the decimal point of whole numbers."""
    text, where, option = draft.text(role), draft.where(role), OPTIONS[role]
    draft.guess(role, role)
    pointed = f"(contains({text}, '.') AND regexp_full_match({text}, '-?\\d+\\.0+'))"
    draft.derive(f"{name}_pointed", pointed)
    draft.derive(name, f"CASE WHEN {name}_pointed THEN split_part({text}, '.', 1) ELSE {text} END")
    draft.refuse(f"coalesce({text}, '') = ''", f"no {role} in {where} ({option})")
    if not draft.wanted.keep_missing:
        words = ", ".join(quoted(word) for word in MISSING if word)
        draft.refuse(
            f"lower({name}) IN ({words}) OR {text} = '00000000-0000-0000-0000-000000000000'",
            f"a placeholder for a missing {role} in {where}, like nan or NULL (--keep-missing)",
        )
    draft.refuse(
        f"starts_with({text}, '{{') OR starts_with({text}, '[')",
        f"an object or list as the {role} in {where} ({option})",
    )
    draft.refuse(_unfit(text), f"{UNFIT} for the {role} in {where} ({option})")


def _unfit(text: str) -> str:
    return f"length({text}) > {MAX_ID} OR regexp_matches({text}, '\\p{{Cc}}')"


def _time(draft: Draft) -> None:
    """Derive `ts`, milliseconds since 1970."""
    wanted, report = draft.wanted, draft.report
    if not draft.has("time"):
        report.guess("(row order)", "time", "--time-column")
        if not wanted.row_order:
            report.warn(
                "no column holds the time, so rows keep the order of the file, one second apart: --time-column selects "
                "one, and --row-order confirms the order."
            )
        draft.derive("ts", f"({ROW_ORDER_FROM_MS} + row * 1000)::BIGINT")
        return
    where, text = draft.where("time"), draft.text("time")
    form = wanted.time_format or times.guess(text, draft.count_first, draft.count, f"{where} of {draft.table.path}")
    zone = "" if form in times.UNITS else f", {wanted.time_zone} unless they name a zone"
    draft.guess("time", f"time, {times.described(form)}{zone}", "--time-format")
    ts = draft.derive("ts", times.milliseconds(text, form))
    draft.refuse(f"coalesce({text}, '') = ''", f"no time in {where} (--time-column)")
    draft.refuse(f"{ts} IS NULL", f"a time in {where} that is not {times.described(form)} (--time-format)")
    draft.refuse(f"{ts} < 0", f"a time before 1970 in {where} (--time-format)")
    draft.refuse(f"{ts} > {times.LATEST_MS}", f"a time after 2100 in {where} (--time-format)")


def _number_repeats(draft: Draft) -> None:
    """Number rows with the same content, so that each gets a unique id; count, or drop, all but the first."""
    table, drop = draft.table, draft.wanted.duplicates == "drop"
    table.query(
        "CREATE TABLE repeated AS SELECT row, row_number() OVER (PARTITION BY key ORDER BY row) - 1 AS n FROM events "
        "WHERE why = 0 AND key IN (SELECT key FROM events WHERE why = 0 GROUP BY key HAVING count(*) > 1)"
    )
    change = f"why = {DROPPED}" if drop else "again = n"
    table.query(f"UPDATE events SET {change} FROM repeated WHERE events.row = repeated.row AND n > 0")
    rows = table.query("SELECT count(*) FROM repeated WHERE n > 0")[0][0]
    if rows and drop:
        draft.tally.note("duplicates left out (--duplicates keep uses them)", rows)
    elif rows:
        draft.tally.note("of them duplicates of an earlier row (--duplicates drop leaves them out)", rows)
