"""What is asked of files of events and items, and what became of their rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.files.formats import GUESSED, Asked
from schemas.events import EventKind


@dataclass(frozen=True)
class EventColumns:
    """Which column of a table is what, and how it is read. None: guessed, and reported.

    A row becomes an event of the fixed kind `fixed` if that is given; else of the kind in its `kind` column, translated
    by `kinds` ("addtocart" -> cart; None leaves the row out); else a `rate` event with its rating, where `rating_max`
    is the best and becomes 5.
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
    """Which column of a catalogue is what; None as above. An attribute column holds labels between `separator`s.

    `item_in_events` is what the events call the item: tried where `item` is None.
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
"""Everything is guessed."""


@dataclass
class LeftOut:
    """How many rows were not used for one reason; `first` is the number of the first of them, where it is known."""

    reason: str
    rows: int = 0
    first: int | None = None

    def __str__(self) -> str:
        return f"{self.rows:,}: {self.reason}" + (f", first in row {self.first:,}" if self.first is not None else "")


@dataclass
class Tally:
    """How many rows were used, how many were not and why, and what is worth knowing of those that were.

    `rows` is `used` and `bad` and `dropped`, which are duplicates. `notes` count what was changed to be used.
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
        """Count rows that are not used. The reason names the column and the option, and no value of the file."""
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
    """One line of what was understood of a file: what of it, as what, and the option that says otherwise."""

    what: str
    meaning: str
    option: str = ""


@dataclass
class Report:
    """What was understood of a file, and what looks wrong. A warning names the option that would change it."""

    guesses: list[Guess] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def guess(self, what: str, meaning: str, option: str = "") -> None:
        self.guesses.append(Guess(what, meaning, option))

    def tell_rows(self, tally: "Tally") -> None:
        """Report how many rows were used, and one line for each reason why others were not."""
        dropped = f", {tally.dropped:,} duplicates left out" if tally.dropped else ""
        rejected = f", {tally.bad:,} rejected" if tally.bad else ""
        self.guess("rows", f"{tally.used:,} used{rejected}{dropped}")
        self.rows += [f"rejected, {reason}" for reason in tally.left_out.values()]
        self.rows += [f"{rows:,} {what}" for what, rows in tally.notes.items()]

    def warn(self, sentence: str) -> None:
        self.warnings.append(sentence)
