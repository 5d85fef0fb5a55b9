"""The state of converting a file of events: its columns, SQL for their text, and the reasons for refused rows."""

from dataclasses import dataclass, field

from deploy.files.column_roles import OPTIONS
from deploy.files.sources import EventColumns, Report, Tally
from deploy.files.tables import Table

GUESS_ROWS = 10_000


@dataclass
class Draft:
    """`columns` maps roles to column names, None if missing; their text is in the view `raw` of `table`."""

    table: Table
    wanted: EventColumns
    columns: dict[str, str | None]
    tally: Tally = field(default_factory=Tally)
    report: Report = field(default_factory=Report)
    reasons: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    source: str = "raw"

    def __post_init__(self) -> None:
        there = [role for role, column in self.columns.items() if column is not None]
        self.table.choose("raw", [str(self.columns[role]) for role in there])
        self._text = {role: f"c{at}" for at, role in enumerate(there)}

    def has(self, role: str) -> bool:
        return role in self._text

    def text(self, role: str) -> str:
        """SQL for the trimmed text of a column."""
        return self._text[role]

    def where(self, role: str) -> str:
        return f"the column {self.columns[role]!r}"

    def derive(self, name: str, sql: str) -> str:
        """Add a computed column for use in later expressions; returns its name."""
        self.source = f"(SELECT *, {sql} AS {name} FROM {self.source})"
        return name

    def refuse(self, condition: str, reason: str) -> None:
        """Refuse rows for which this condition, and no earlier one, is true. The reason names the option."""
        self.reasons.append(reason)
        self.conditions.append(f"WHEN {condition} THEN {len(self.reasons)}")

    @property
    def why(self) -> str:
        """SQL for the number of the reason that a row is refused, from 1; 0 for rows that are used."""
        return f"CASE {' '.join(self.conditions)} ELSE 0 END"

    def guess(self, role: str, meaning: str, option: str = "") -> None:
        """Report the guessed meaning of a column."""
        self.report.guess(str(self.columns[role]), meaning, option or OPTIONS[role])

    def count(self, condition: str) -> int:
        """The number of rows that meet a condition."""
        return self._count(condition, self.source)

    def count_first(self, condition: str) -> int:
        """The number of rows among the first `GUESS_ROWS` that meet a condition."""
        return self._count(condition, f"(FROM {self.source} LIMIT {GUESS_ROWS})")

    def _count(self, condition: str, source: str) -> int:
        return int(self.table.query(f"SELECT count(*) FILTER (WHERE {condition}) FROM {source}")[0][0])
