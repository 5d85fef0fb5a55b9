"""Read items from a file of any format: assign the columns, and shorten texts to the limits of the contract."""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.files import times
from deploy.files.column_roles import OPTIONS, named, needed, usual
from deploy.files.sources import USUAL_ITEM_COLUMNS, ItemColumns, Report, Tally
from deploy.files.tables import Table
from deploy.files.vocabulary import COLUMNS, MISSING, plain
from schemas.codec import decode_item, encode
from schemas.errors import Refused
from schemas.items import Item
from schemas.limits import MAX_ATTRIBUTES, MAX_TEXT_LENGTH

MAX_LABEL = 64
MAX_TITLE = 300
SEPARATORS = ("|", ";", ",")
GUESS_ROWS = 1_000
LISTS = re.compile(r"\s*[\[(]")
OBJECTS = re.compile(r"\s*\{")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
NAMING = ("name", "label", "title", "value")
"""Keys that may hold the label, for objects in a list of labels."""


@dataclass
class ItemFile:
    """The items of an open file. Iterate once; `tally` and `report` are complete afterwards."""

    table: Table
    wanted: ItemColumns
    tally: Tally = field(default_factory=Tally)
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        table, wanted = self.table, self.wanted
        self.columns: dict[str, str | None] = {}
        identifier = wanted.item or (wanted.item_in_events if wanted.item_in_events in table.names else None)
        for role, asked in (("item id", identifier), ("title", wanted.title), ("text", wanted.text)):
            taken = set(self.columns.values())
            self.columns[role] = named(table, role, asked) if asked else usual(table, role, taken)
        if table.form.kind == "delimited" and not table.form.header and len(table.names) > 1:
            for role, name in zip(("item id", "title"), table.names, strict=False):
                self.columns[role] = self.columns[role] or name
        for role in ("item id", "title"):
            if self.columns[role] is None:
                raise needed(table, role)
        self.columns["published"] = named(table, "published", wanted.published) if wanted.published else None
        if wanted.attributes is not None:
            self.labels = [named(table, "attributes", name) for name in wanted.attributes]
        else:
            self.labels = self._labels()
            if not self.labels and not table.form.header and len(table.names) == 3:
                self.labels = [name for name in table.names if name not in self.columns.values()][:1]
        self.separator = wanted.separator or self._separator()
        for what, meaning in table.described.items():
            self.report.guess(what, meaning, {"delimiter": "--delimiter", "encoding": "--encoding"}.get(what, ""))
        for role, column in self.columns.items():
            if column is not None:
                self.report.guess(column, role, OPTIONS[role])
        for column in self.labels:
            self.report.guess(column, f"labels, between {self.separator!r}", "--attribute-column, --separator")

    def __iter__(self) -> Iterator[Item]:
        """The items in the order of the file. Long texts are truncated and long labels left out; both are counted."""
        single = [column for column in self.columns.values() if column is not None]
        self.table.choose("raw", [*single, *self.labels])
        at = {role: single.index(column) + 1 for role, column in self.columns.items() if column is not None}
        when = self._published(f"c{at['published'] - 1}") if "published" in at else "NULL"
        self.table.query("CREATE TABLE kept AS FROM raw")
        for problem, rows in self.table.unreadable.items():
            self.tally.refuse(f"{problem} (--items-delimiter, --items-encoding)", rows)
        seen: set[str] = set()
        for *row, published in self.table.stream(f"SELECT *, {when} FROM kept"):
            number = self.table.number(row[0])
            item = self._item(
                number, {role: row[place] for role, place in at.items()}, row[len(single) + 1 :], published
            )
            if item is None:
                continue
            if item.id in seen:
                self.tally.note("with the item of an earlier row (the last one counts)")
            seen.add(item.id)
            self.tally.used += 1
            yield item
        self.report.tell_rows(self.tally)
        if self.tally.bad:
            self.report.warn(
                f"{self.tally.bad:,} of {self.tally.rows:,} rows of {self.table.path.name} are rejected: see the "
                "reasons above for the options."
            )

    def _item(self, number: int, row: dict[str, Any], labels: Sequence[Any], published: int | None) -> Item | None:
        identifier = (row["item id"] or "").strip()
        if re.fullmatch(r"-?\d+\.0+", identifier):
            identifier = identifier.split(".")[0]
            self.tally.note("with an id like 1.0 read as 1")
        where = f"in the column {self.columns['item id']!r}"
        if not identifier:
            return self._refuse(f"no id {where} ({OPTIONS['item id']})", first=number)
        if not self.wanted.keep_missing and identifier.lower() in MISSING:
            return self._refuse(
                f"a placeholder for a missing id {where}, like nan or NULL (--keep-missing)", first=number
            )
        title = " ".join(CONTROL.sub(" ", row["title"] or "").split())
        if not title or title.lower() in {"nan", "null", "none", "\\n", "<na>"}:
            column = self.columns["title"]
            return self._refuse(f"no title in the column {column!r} ({OPTIONS['title']})", first=number)
        text = CONTROL.sub(" ", row.get("text") or "")
        if len(title) > MAX_TITLE or len(text) > MAX_TEXT_LENGTH:
            self.tally.note("with a title or text cut to the maximum length (--title-column, --text-column)")
        made = Item(
            id=identifier,
            title=title[:MAX_TITLE],
            text=text[:MAX_TEXT_LENGTH],
            attributes=self._attributes(labels),
            published=published,
        )
        try:
            return decode_item(encode(made), key=identifier.encode())
        except Refused as refused:
            return self._refuse(f"{refused.detail} ({OPTIONS['item id']})", first=number)

    def _refuse(self, reason: str, first: int) -> Item | None:
        self.tally.refuse(reason, first=first)
        return None

    def _attributes(self, values: Sequence[Any]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for value in values:
            for label in labels(value, self.separator):
                clean = " ".join(CONTROL.sub(" ", label).split())
                parts = [clean] if len(clean) <= MAX_LABEL else [part.strip() for part in clean.split(",")]
                for part in parts:
                    if len(part) > MAX_LABEL:
                        self.tally.note("labels longer than 64 characters left out (--separator)")
                    elif part:
                        found.setdefault(part)
            if value and OBJECTS.match(value):
                self.tally.note("rows with an object instead of labels (--attribute-column)")
        if len(found) > MAX_ATTRIBUTES:
            self.tally.note(f"with more than {MAX_ATTRIBUTES} labels, of which the first are used (--attribute-column)")
        return tuple(found)[:MAX_ATTRIBUTES]

    def _sample(self, column: str) -> list[str]:
        sql = f"SELECT {self.table.text(column)} FROM rows LIMIT {GUESS_ROWS}"
        return [str(value) for (value,) in self.table.query(sql) if value]

    def _labels(self) -> list[str]:
        """The first column with a usual name for labels that does not hold objects."""
        taken = set(self.columns.values())
        for word in COLUMNS["attributes"]:
            for name in self.table.names:
                if plain(name) == word and name not in taken:
                    values = self._sample(name)
                    if sum(bool(OBJECTS.match(value)) for value in values) * 2 <= len(values):
                        return [name]
        return []

    def _separator(self) -> str:
        values = [value for column in self.labels for value in self._sample(column) if not LISTS.match(value)]
        for separator in SEPARATORS:
            least = 1 if separator == "|" else max(1, len(values) // 3)
            if sum(separator in value for value in values) >= least:
                return separator
        return SEPARATORS[0]

    def _published(self, text: str) -> str:
        def count(condition: str) -> int:
            return int(self.table.query(f"SELECT count(*) FILTER (WHERE {condition}) FROM raw")[0][0])

        form = times.guess(text, count, count, f"the column {self.columns['published']!r} of {self.table.path}")
        return times.milliseconds(text, form)


@contextmanager
def item_file(path: Path, wanted: ItemColumns = USUAL_ITEM_COLUMNS, limit: int | None = None) -> Iterator[ItemFile]:
    """Open a catalogue. Raises `BadSource` if it is unreadable or has no id or title column."""
    with Table(path, wanted.form, limit) as table:
        yield ItemFile(table, wanted)


def items(path: Path, wanted: ItemColumns, tally: Tally, report: Report | None = None) -> Iterator[Item]:
    """The items of a file, in its order; `tally` and `report` are complete after the last one."""
    with Table(path, wanted.form) as table:
        yield from ItemFile(table, wanted, tally, report or Report())


def labels(value: str | None, separator: str) -> Iterator[str]:
    """The labels in a field: a JSON or Python list, or text with separators. Objects have none.

    >>> list(labels("['Action', 'Adventure']", "|")), list(labels("a|b", "|")), list(labels('{"a": 1}', "|"))
    (['Action', 'Adventure'], ['a', 'b'], [])
    """
    if value is None or OBJECTS.match(value) or value.strip().lower() in MISSING:
        return
    if LISTS.match(value):
        for read in (json.loads, ast.literal_eval):
            try:
                yield from _flat(read(value))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return
    yield from (part.strip() for part in value.split(separator))


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    elif isinstance(value, dict):
        yield from (str(value[key]) for key in NAMING[:4] if key in value and isinstance(value[key], str))
    elif value is not None:
        yield str(value)
