"""A file as a DuckDB table: every column as text, rows in the file's order with their numbers.

`Table` opens files of any format (`deploy.files.formats`). It downloads nothing, and spills to a temporary folder what
does not fit in memory. Unreadable rows are counted in `unreadable`; none is lost silently.
"""

import json
import shutil
import tempfile
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.errors import BadSource
from deploy.files.clean_copies import SEPARATOR, Survey, clean, survey, transcoded
from deploy.files.decompression import opened
from deploy.files.deep_json import DEEPEST_JSON, TOO_DEEP, depth, maybe_too_deep
from deploy.files.duckdb_engine import MEMORY, connected, csv_rows, faults, quiet
from deploy.files.formats import GUESSED, SHOWN, Asked, few_enough, look
from deploy.files.lines import LONGEST_LINE, TOO_LONG
from deploy.files.nested_columns import paths, quoted, top_names, typed, widen

BATCH = 8_192
KEPT_NUMBERS = 10_000
"""Maximum stored numbers of unreadable lines, which are needed to compute the numbers of rows."""

READ_DIRECTLY = {"": "none", "gzip": "gzip", "zstd": "zstd"}
NAMES = {"utf-8-sig": "utf-8", "cp1252": "windows-1252 (latin-1)"}


class Table:
    """The rows of a file. `names` are the columns, nested ones as paths (`user.id`); `objects` are expanded columns.

    With a `limit`, it holds only the first readable rows. A context manager, since it holds temporary files.
    """

    def __init__(self, path: Path, asked: Asked = GUESSED, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.unreadable: Counter[str] = Counter()
        self.encoding = ""
        self.objects: dict[str, list[str]] = {}
        self._bad_lines: list[int] = []
        self._expressions: dict[str, str] = {}
        self._twice: set[str] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="ouzel-"))
        try:
            self._sql = connected(self._folder)
            self.form = look(path, asked)
            # "[", "*" and "=" in paths are special for DuckDB; the link has none of them.
            self._link = self._folder / "file"
            self._link.symlink_to(path.resolve())
            {"parquet": self._parquet, "array": self._array}.get(self.form.kind, self._text)()
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        return list(self._expressions)

    @property
    def described(self) -> dict[str, str]:
        """The detected format in words, by property."""
        form = self.form
        formats = {"parquet": "Parquet", "lines": "JSON lines", "array": "JSON", "delimited": "delimited text"}
        found = {"format": formats[form.kind] + (f", {form.compression}" if form.compression else "")}
        if form.kind == "delimited":
            found["delimiter"] = SHOWN.get(form.delimiter, form.delimiter)
            found["first line"] = "column names" if form.header else "a row"
        return found | ({"encoding": self.encoding} if self.encoding else {})

    def text(self, name: str) -> str:
        """SQL for the text of a column. Raises `BadSource` for a duplicate column name."""
        if name in self._twice:
            raise BadSource(f"{self.path} has the column {name!r} twice. Rename or remove one.")
        return self._expressions[name]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query; the table is `rows`, with the number of each in `row`."""
        found: list[tuple[Any, ...]] = self._run(sql).fetchall()
        return found

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one batch in memory at a time."""
        for batch in self.batches(sql):
            yield from batch

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, `BATCH` at a time."""
        cursor = quiet(self._sql.cursor())
        try:
            with self._file_errors():
                cursor.execute(sql)
            while batch := self._fetched(cursor):
                yield batch
        finally:
            cursor.close()

    def _fetched(self, cursor: Any) -> list[tuple[Any, ...]]:
        with self._file_errors():
            found: list[tuple[Any, ...]] = cursor.fetchmany(BATCH)
        return found

    def choose(self, name: str, columns: Sequence[str]) -> None:
        """Create the view `name` with `row` and the trimmed text of these columns as `c0`, `c1` ..."""
        chosen = "".join(f", trim({self.text(column)}) AS c{at}" for at, column in enumerate(columns))
        self.query(f"CREATE OR REPLACE VIEW {name} AS SELECT row{chosen} FROM rows")

    def number(self, row: int) -> int:
        """The number in the file of the readable row `row`, counting unreadable rows too."""
        for line in self._bad_lines:
            row += line <= row
        return row

    def close(self) -> None:
        if hasattr(self, "_sql"):
            self._sql.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, sql: str, given: Sequence[Any] = ()) -> Any:
        with self._file_errors():
            return self._sql.execute(sql, given or None)

    @contextmanager
    def _file_errors(self) -> Iterator[None]:
        """Translate DuckDB's errors about the file, but not about the query, to `BadSource`."""
        try:
            yield
        except faults() as error:
            why = (str(error).splitlines() or [type(error).__name__])[0].replace(str(self._link), self.path.name)
            if "maximum_object_size" in str(error):
                raise BadSource(f"{self.path} has an object {TOO_LONG}.") from error
            if "Out of Memory" in why:
                raise BadSource(
                    f"{self.path} cannot be read within {MEMORY} of memory: it has a row, an object, or a Parquet page "
                    "that is too large. Write it without the large columns, or in smaller parts."
                ) from error
            raise BadSource(f"{self.path} cannot be read: {why.rstrip('.')}. Check the file.") from error

    def _view(self, source: str) -> None:
        self.query(f"CREATE VIEW rows AS SELECT row_number() OVER () AS row, * FROM {source}{self._limited}")

    @property
    def _limited(self) -> str:
        return f" LIMIT {self.limit}" if self.limit is not None else ""

    def _survey(self) -> tuple[Survey, str]:
        """Survey the bytes, which also detects truncation; and the encoding."""
        with opened(self.path, self.form.compression) as stream:
            found = survey(stream, None if self.limit is None else self.limit + 1)
        encoding = self.form.encoding or found.encoding
        self.encoding = NAMES.get(encoding, encoding)
        return found, encoding

    def _text(self) -> None:
        form = self.form
        delimited = form.kind == "delimited"
        found, encoding = self._survey()
        delimiter, skip = (form.delimiter, int(form.header)) if delimited else (SEPARATOR, 0)
        columns = len(form.names) if delimited else 1
        marks = delimited and form.quoted and found.quotes
        damaged = form.preamble or found.carriage or found.foreign or found.long or (marks and found.odd)
        plain = encoding == "utf-8-sig" and form.compression in READ_DIRECTLY and not damaged
        source, direct = "", plain and self.limit is None
        if direct:
            compression = READ_DIRECTLY[form.compression]
            marked = {"quote": '"', "escape": form.escape} if marks else {"quote": "", "escape": ""}
            source = csv_rows(self._link, compression, columns, delimiter=delimiter, skip=skip, **marked)
            direct = not delimited or self._all_rows(source, found.lines - skip)
        if not direct:
            copy = self._folder / "clean"
            with opened(self.path, form.compression) as stream:
                for number, fields, problem in clean(stream, form, encoding, copy, limit=self.limit, end=found.end):
                    if fields is None:
                        self._refuse(problem, number - skip - form.preamble)
            inside = SEPARATOR if columns > 1 else "\x1e"
            source = csv_rows(copy, "none", columns, delimiter=inside, quote="", escape="", skip=0)
        if delimited:
            self._view(source)
            self._name([(name or f"column {at + 1}", f"v{at}") for at, name in enumerate(form.names)])
        else:
            self._objects(source, "v0")

    def _all_rows(self, source: str, lines: int) -> bool:
        """Whether every line is a row. If not, a clean copy finds the others, so that DuckDB need not list them."""
        import duckdb  # noqa: PLC0415

        try:
            (read,) = self._sql.execute(f"SELECT count(*) FROM {source}").fetchone()
        except duckdb.Error:
            return False
        return bool(read == lines)

    def _array(self) -> None:
        """Read JSON other than one object per line: a list of objects, or objects over several lines."""
        found, encoding = self._survey()
        source, compression = self._link, READ_DIRECTLY.get(self.form.compression, "")
        if encoding != "utf-8-sig" or found.foreign or not compression:
            source, compression = self._folder / "copy.json", "none"
            with opened(self.path, self.form.compression) as stream, source.open("wb") as copy:
                copy.writelines(transcoded(stream, encoding))
        self._objects(
            f"read_json_objects({quoted(str(source))}, format='auto', compression={quoted(compression)}, "
            f"maximum_object_size={LONGEST_LINE})",
            "json::VARCHAR",
        )

    def _objects(self, source: str, column: str) -> None:
        self.query(
            "CREATE TABLE objects AS SELECT line, j, "
            "json_type(CASE WHEN json_valid(j) THEN j ELSE '0' END) = 'OBJECT' AS good "
            f"FROM (SELECT row_number() OVER () AS line, {column} AS j FROM {source}) "
            f"WHERE trim(j) <> ''{self._limited}"
        )
        for (line,) in self.stream("SELECT line FROM objects WHERE NOT good ORDER BY line"):
            self._refuse("not a JSON object", line)
        for number, text in self.stream(f"SELECT rowid, j FROM objects WHERE good AND {maybe_too_deep('j')}"):
            if depth(text) > DEEPEST_JSON:
                (line,) = self.query(f"UPDATE objects SET good = false WHERE rowid = {number} RETURNING line")[0]
                self._refuse(TOO_DEEP, line)
        self.query("CREATE VIEW rows AS SELECT row_number() OVER () AS row, j FROM objects WHERE good")
        # DuckDB's own `json_group_structure` needs memory for the whole file.
        tree: dict[str, Any] = {}
        for (text,) in self.stream("SELECT j FROM objects WHERE good"):
            if widen(tree, json.loads(text)):
                few_enough(self.path, len(paths(tree, {})))
        if not tree:
            why = "; ".join(f"{rows:,}: {problem}" for problem, rows in self.unreadable.items())
            raise BadSource(
                f"{self.path} holds no readable JSON objects{f' ({why})' if why else ''}. Write one object per line; "
                "its keys name the columns."
            )
        found = paths(tree, self.objects)
        self._name([(name, f"json_extract_string(j, {quoted(path)})") for name, path in found])

    def _parquet(self) -> None:
        file = quoted(str(self._link))
        tops = top_names(self.query(f"SELECT name, num_children FROM parquet_schema({file})"))
        self._view(f"(SELECT * FROM read_parquet({file})) AS t({', '.join(f'v{at}' for at in range(len(tops)))})")
        types = self.query("SELECT column_name, column_type FROM (DESCRIBE rows)")[1:]
        for name, (value, kind) in zip(tops, types, strict=True):
            self._name(typed(name, value, kind, self.query, self.objects))

    def _refuse(self, problem: str, line: int) -> None:
        self.unreadable[problem] += 1
        if len(self._bad_lines) < KEPT_NUMBERS:
            insort(self._bad_lines, line)

    def _name(self, columns: list[tuple[str, str]]) -> None:
        for name, expression in columns:
            if name in self._expressions:
                self._twice.add(name)
            self._expressions[name] = expression
