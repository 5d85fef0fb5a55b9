"""The DuckDB configuration: bounded memory, no network, explicit text formats."""

from pathlib import Path
from typing import Any

from deploy.errors import MissingPart
from deploy.files.lines import LONGEST_LINE
from deploy.files.nested_columns import quoted

MEMORY = "512MB"
"""DuckDB works on 2,048 rows at once, in a few copies: enough for texts of some 10 KB on average."""

THREADS = 2
LONGEST_ROW = 4 * LONGEST_LINE
"""Maximum bytes of a row: the longest line, after conversion to UTF-8 from another encoding."""


def csv_rows(path: Path, compression: str, columns: int, *, delimiter: str, quote: str, escape: str, skip: int) -> str:
    """SQL for the rows of delimited text, as columns `v0`, `v1` ...; skips rows that do not fit."""
    names = ", ".join(f"'v{at}': 'VARCHAR'" for at in range(columns))
    return (
        f"read_csv({quoted(str(path))}, auto_detect=false, header=false, skip={skip}, delim={quoted(delimiter)}, "
        f"quote={quoted(quote)}, escape={quoted(escape)}, columns={{{names}}}, nullstr='', "
        f"compression={quoted(compression)}, max_line_size={LONGEST_ROW}, "
        f"buffer_size={2 * LONGEST_ROW}, ignore_errors=true)"
    )


def connected(folder: Path) -> Any:
    """Connect to a new database in `folder`, which also holds what does not fit in memory. Raises `MissingPart`."""
    try:
        import duckdb  # noqa: PLC0415 - an optional part
    except ImportError as error:
        raise MissingPart("DuckDB, which reads files,", "Run: pip install duckdb.") from error
    sql = duckdb.connect(
        str(folder / "rows.duckdb"),
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": MEMORY,
            "threads": str(THREADS),
            "temp_directory": str(folder / "spill"),
        },
    )
    sql.execute("SET GLOBAL TimeZone = 'UTC'")
    sql.execute("PRAGMA force_compression = 'uncompressed'")  # the database lives for minutes
    return quiet(sql)


def faults() -> tuple[type[Exception], ...]:
    """DuckDB's exceptions for bad files, memory and disk, but not for wrong queries."""
    import duckdb  # noqa: PLC0415 - already imported by `connected`

    return (
        duckdb.OperationalError,
        duckdb.DataError,
        duckdb.InternalError,
        duckdb.NotSupportedError,
        duckdb.InvalidInputException,
    )


def quiet(sql: Any) -> Any:
    """Disable DuckDB's progress bar, which would mix with the output of commands. Returns the connection."""
    sql.execute("SET enable_progress_bar = false")
    return sql
