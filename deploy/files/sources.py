"""Options for reading files of events and items, and the accounting of their rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.files.formats import GUESSED, Asked
from schemas.events import EventKind


@dataclass(frozen=True)
class EventColumns:
    """The columns of an events table, and how to read them. None: guessed, and reported.

    A row becomes an event of the kind `fixed`, if given; else of the kind in its `kind` column, mapped by `kinds`
    ("addtocart" -> cart; None leaves the row out); else a `rate` event with its rating, scaled so that `rating_max`
    becomes 5.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    kind: str | None = None
    id: str | None = None
    fixed: EventKind | None = None
    kinds: Mapping[str, EventKind | None] = field(default_factory=dict)
    rating_max: float | None = None
    time_format: str | None = None
    time_zone: str = "UTC"
    row_order: bool = False
    keep_missing: bool = False
    duplicates: Literal["keep", "drop"] = "keep"
    scene: str = "default"
    text: Asked = GUESSED


@dataclass(frozen=True)
class ItemColumns:
    """The columns of a catalogue; None as in `EventColumns`. Attribute columns hold labels separated by `separator`.

    `item_in_events` is the name of the item column in the events, tried if `item` is None.
    """

    item: str | None = None
    item_in_events: str | None = None
    title: str | None = None
    text: str | None = None
    attributes: tuple[str, ...] | None = None
    published: str | None = None
    separator: str | None = None
    keep_missing: bool = False
    form: Asked = GUESSED


USUAL_COLUMNS, USUAL_ITEM_COLUMNS = EventColumns(), ItemColumns()
"""All columns are guessed."""


@dataclass
class LeftOut:
    """The number of rows rejected for one reason; `first` is the number of the first such row, if known."""

    reason: str
    rows: int = 0
    first: int | None = None

    def __str__(self) -> str:
        return f"{self.rows:,}: {self.reason}" + (f", first in row {self.first:,}" if self.first is not None else "")


@dataclass
class Tally:
    """Counts of used and rejected rows, with reasons, and notes on the used ones.

    `rows` is the sum of `used`, `bad` (rejected) and `dropped` (duplicates). `notes` count rows that were changed to be
    usable.
    """

    used: int = 0
    dropped: int = 0
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        return sum(each.rows for each in self.left_out.values())

    @property
    def rows(self) -> int:
        return self.used + self.bad + self.dropped

    def refuse(self, reason: str, rows: int = 1, first: int | None = None) -> None:
        """Count rejected rows. The reason names the column and the option, but never quotes values of the file."""
        one = self.left_out.setdefault(reason, LeftOut(reason, first=first))
        one.rows += rows

    def note(self, what: str, rows: int = 1) -> None:
        self.notes[what] = self.notes.get(what, 0) + rows

    def __str__(self) -> str:
        text = f"{self.used:,} rows used"
        if self.bad:
            text += f", {self.bad:,} not ({'; '.join(map(str, self.left_out.values()))})"
        return text + "".join(f"; {rows:,} {what}" for what, rows in self.notes.items())


@dataclass(frozen=True)
class Guess:
    """One guess about a file: the column or property, its meaning, and the option that overrides it."""

    what: str
    meaning: str
    option: str = ""


@dataclass
class Report:
    """Guesses about a file, and warnings. A warning names the option that would change the result."""

    guesses: list[Guess] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def guess(self, what: str, meaning: str, option: str = "") -> None:
        self.guesses.append(Guess(what, meaning, option))

    def tell_rows(self, tally: "Tally") -> None:
        """Report the number of used rows, and one line per reason for rejected ones."""
        dropped = f", {tally.dropped:,} duplicates left out" if tally.dropped else ""
        rejected = f", {tally.bad:,} rejected" if tally.bad else ""
        self.guess("rows", f"{tally.used:,} used{rejected}{dropped}")
        self.rows += [f"rejected, {reason}" for reason in tally.left_out.values()]
        self.rows += [f"{rows:,} {what}" for what, rows in tally.notes.items()]

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
