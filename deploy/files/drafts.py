"""What is known of a file of events while its rows are converted: columns, SQL for their text, and what is refused."""

from dataclasses import dataclass, field

from deploy.files.column_roles import OPTIONS
from deploy.files.sources import EventColumns, Report, Tally
from deploy.files.tables import Table

GUESS_ROWS = 10_000


@dataclass
class Draft:
    """`columns` are by role, None where there is none; their text is in the table `raw` of `table`."""

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
        """SQL for the text of a column, without blanks around it."""
        return self._text[role]

    def where(self, role: str) -> str:
        return f"the column {self.columns[role]!r}"

    def derive(self, name: str, sql: str) -> str:
        """Compute a column once, from the others, for all that is said of it later; returns its name."""
        self.source = f"(SELECT *, {sql} AS {name} FROM {self.source})"
        return name

    def refuse(self, condition: str, reason: str) -> None:
        """Rows of which this is true, and of no earlier condition, are not used. The reason names the option."""
        self.reasons.append(reason)
        self.conditions.append(f"WHEN {condition} THEN {len(self.reasons)}")

    @property
    def why(self) -> str:
        """SQL for the number of the reason for which a row is refused, from 1; 0 for a row that is used."""
        return f"CASE {' '.join(self.conditions)} ELSE 0 END"

    def guess(self, role: str, meaning: str, option: str = "") -> None:
        """Report what a column was taken for."""
        self.report.guess(str(self.columns[role]), meaning, option or OPTIONS[role])

    def count(self, condition: str) -> int:
        """How many rows fulfil a condition."""
        return self._count(condition, self.source)

    def count_first(self, condition: str) -> int:
        """How many of the first rows do."""
        return self._count(condition, f"(FROM {self.source} LIMIT {GUESS_ROWS})")

    def _count(self, condition: str, source: str) -> int:
        return int(self.table.query(f"SELECT count(*) FILTER (WHERE {condition}) FROM {source}")[0][0])
