"""Read events from a file of any format: DuckDB reads and converts the rows; this module assigns the columns."""

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.errors import BadSource
from deploy.files.column_roles import by_content, named, needed, usual
from deploy.files.drafts import Draft
from deploy.files.event_checks import NO_LIKES, liked, warn
from deploy.files.event_rows import convert
from deploy.files.nested_columns import quoted
from deploy.files.sources import USUAL_COLUMNS, EventColumns, Tally
from deploy.files.tables import Table
from schemas.events import Event, EventKind

ROLES = ("user", "item", "time", "rating", "kind", "id")
FORM_OPTIONS = {"delimiter": "--delimiter", "encoding": "--encoding", "first line": "--no-header"}


class EventFile:
    """The events of a file. The constructor reads and counts everything; iteration can be repeated.

    `tally` counts used and rejected rows, `report` has the guesses and warnings, `counts` the number of events of each
    (kind, value). A context manager, since it holds temporary files.
    """

    def __init__(self, path: Path, wanted: EventColumns = USUAL_COLUMNS, limit: int | None = None) -> None:
        self.path, self._scene = path, wanted.scene
        self.counts: Counter[tuple[str, float | None]] = Counter()
        self._table = table = Table(path, wanted.text, limit)
        try:
            table.query(f"SET GLOBAL TimeZone = {quoted(wanted.time_zone)}")
            draft = Draft(table, wanted, _roles(table, wanted))
            self.tally, self.report = draft.tally, draft.report
            for what, meaning in table.described.items():
                self.report.guess(what, meaning, FORM_OPTIONS.get(what, ""))
            convert(draft)
            self.report.tell_rows(self.tally)
            for kind, value, rows in table.query("SELECT kind, value, count(*) FROM events WHERE why = 0 GROUP BY ALL"):
                self.counts[kind, value] = rows
            warn(draft, self.counts)
        except BaseException:
            self.close()
            raise

    @property
    def total(self) -> int:
        return self.tally.used

    def __iter__(self) -> Iterator[Event]:
        """The events in the order of the file."""
        return self._events("row")

    def by_time(self) -> Iterator[Event]:
        """The events, oldest first, with equal times in the order of the file."""
        return self._events("ts, row")

    def time_at(self, number: int) -> int:
        """The time of event `number`, from 0, in order of time."""
        return int(self._table.query(f"SELECT ts FROM events WHERE why = 0 ORDER BY ts LIMIT 1 OFFSET {number}")[0][0])

    def compare(self, held: Container[str], catalogue: Path, rows: Tally) -> int:
        """The number of events about items that are `held`. Warns of the others; `rows` is the catalogue's tally."""
        about = self._table.stream("SELECT item, count(*) FROM events WHERE why = 0 GROUP BY item")
        known = sum(int(count) for item, count in about if item in held)
        if lost := self.total - known:
            self.report.warn(
                f"{lost:,} of {self.total:,} events are about items that are not in {catalogue.name}"
                + (f" ({rows.bad:,} of its rows could not be used)" if rows.bad else "")
                + ": --item-column names the id in the events, --items-id-column in the items."
            )
        return known

    def check(self, known: int, catalogue: Path | None = None, *, likes: bool = True) -> None:
        """Raises `BadSource` if no event is usable, none is about a `known` item, or, with `likes`, none is a like."""
        if not self.total:
            raise BadSource(f"no row of {self.path} can be used: {self.tally}.")
        if not known:
            raise BadSource(
                f"no event of {self.path} is about an item of {catalogue}. Are the ids the same? --item-column names "
                "the id in the events, --items-id-column in the items."
            )
        if likes and not liked(self.counts):
            raise BadSource(f"{self.path}: {NO_LIKES}")

    def close(self) -> None:
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(self, order: str) -> Iterator[Event]:
        shared: dict[str, str] = {}  # shares one string per user and item between events
        same = shared.setdefault
        kinds = {kind.value: kind for kind in EventKind}
        values: dict[float | None, float | None] = {}
        scene = self._scene
        for batch in self._table.batches(
            "SELECT coalesce(id, printf('%015x', key >> 4) || CASE WHEN again > 0 THEN '-' || again ELSE '' END), "
            f"usr, item, kind, value, ts FROM events WHERE why = 0 ORDER BY {order}"
        ):
            yield from [
                Event(
                    id=identifier,
                    user=same(user, user),
                    kind=kinds[kind],
                    ts=ts,
                    item=same(item, item),
                    scene=scene,
                    value=values.setdefault(value, value),
                )
                for identifier, user, item, kind, value, ts in batch
            ]


def _roles(table: Table, wanted: EventColumns) -> dict[str, str | None]:
    """The column of each role. Raises `BadSource` without a user or item column."""
    asked = {role: getattr(wanted, role) for role in ROLES}
    given = {role: named(table, role, name) if name else None for role, name in asked.items()}
    not_guessed = {"id"} | ({"time"} if wanted.row_order else set())
    if wanted.fixed is not None:
        given["kind"] = None
        not_guessed |= {"kind"} | (set() if wanted.fixed is EventKind.RATE else {"rating"})
    unnamed = table.form.kind == "delimited" and not table.form.header
    content = by_content(table, set(given.values())) if unnamed else {}
    found = dict(given)
    for role in ROLES:
        if found[role] is None and role not in not_guessed:
            found[role] = content.get(role) if unnamed else usual(table, role, set(found.values()))
    for role in ("user", "item"):
        if found[role] is None:
            raise needed(table, role)
    return found
