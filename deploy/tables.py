"""A file as a DuckDB table: every column as text, rows in the file's order with their numbers.

`Table` is opened on a file of any form (`deploy.formats`). Nothing is downloaded, and what does not fit in memory
goes to a temporary folder. Rows that cannot be read are counted in `unreadable`; none is lost.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.clean_copies import SEPARATOR, Survey, clean, survey
from deploy.engine import LONGEST_LINE, connected, csv_rows, quiet
from deploy.errors import BadSource
from deploy.formats import GUESSED, SHOWN, Asked, look
from deploy.nested_columns import paths, quoted, top_names, typed
from deploy.packed_files import opened

BATCH = 8_192
READ_DIRECTLY = {"": "none", "gzip": "gzip", "zstd": "zstd"}
NAMES = {"utf-8-sig": "utf-8", "cp1252": "windows-1252 (latin-1)"}


class Table:
    """The rows of a file. `names` are the columns, nested ones as paths (`user.id`); `objects` hold further columns.

    With a `limit`, only the first rows that can be read are there. A context manager, since it holds temporary files.
    """

    def __init__(self, path: Path, asked: Asked = GUESSED, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.unreadable: Counter[str] = Counter()
        self.encoding = ""
        self.objects: dict[str, list[str]] = {}
        self._bad_lines: list[int] = []
        self._rejects_counted = False
        self._expressions: dict[str, str] = {}
        self._twice: set[str] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="ouzel-"))
        try:
            self._sql = connected(self._folder)
            self.form = look(path, asked)
            {"parquet": self._parquet, "array": self._array}.get(self.form.kind, self._text)()
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        return list(self._expressions)

    @property
    def described(self) -> dict[str, str]:
        """What the form was taken for, in words, by its name."""
        form = self.form
        told = {"parquet": "Parquet", "lines": "JSON lines", "array": "JSON", "delimited": "delimited text"}
        found = {"format": told[form.kind] + (f", {form.compression}" if form.compression else "")}
        if form.kind == "delimited":
            found["delimiter"] = SHOWN.get(form.delimiter, form.delimiter)
            found["first line"] = "column names" if form.header else "a row"
        return found | ({"encoding": self.encoding} if self.encoding else {})

    def text(self, name: str) -> str:
        """SQL for the text of a column. Raises `BadSource` for one that stands twice."""
        if name in self._twice:
            raise BadSource(f"{self.path} has the column {name!r} twice. Rename or remove one.")
        return self._expressions[name]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query; the table is `rows`, with the number of each in `row`."""
        found: list[tuple[Any, ...]] = self._run(sql).fetchall()
        return found

    def stream(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, a batch in memory."""
        for batch in self.batches(sql):
            yield from batch

    def batches(self, sql: str) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, `BATCH` at a time."""
        cursor = quiet(self._sql.cursor())
        try:
            cursor.execute(sql)
            while batch := cursor.fetchmany(BATCH):
                yield batch
        finally:
            cursor.close()

    def choose(self, name: str, columns: Sequence[str]) -> None:
        """Make the view `name` with `row` and, as `c0`, `c1` ..., the text of these columns, without outer blanks."""
        chosen = "".join(f", trim({self.text(column)}) AS c{at}" for at, column in enumerate(columns))
        self.query(f"CREATE OR REPLACE VIEW {name} AS SELECT row{chosen} FROM rows")

    def number(self, row: int) -> int:
        """The number in the file of the readable row `row`: rows that cannot be read count too."""
        for line in self._bad_lines[:10_000]:
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

    def _run(self, sql: str) -> Any:
        import duckdb  # noqa: PLC0415 - there since the table is open

        try:
            return self._sql.execute(sql)
        except (duckdb.IOException, duckdb.InvalidInputException, duckdb.OutOfMemoryException) as error:
            raise BadSource(f"{self.path} cannot be read: {str(error).splitlines()[0]}. Check the file.") from error

    def _view(self, source: str) -> None:
        self.query(f"CREATE VIEW rows AS SELECT row_number() OVER () AS row, * FROM {source}{self._limited}")

    @property
    def _limited(self) -> str:
        return f" LIMIT {self.limit}" if self.limit is not None else ""

    def _survey(self) -> tuple[Survey, str]:
        """One pass over the bytes, which also finds that they end too early; and the encoding."""
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
        damaged = form.preamble or found.carriage or found.foreign or (marks and found.odd)
        source, direct = "", encoding == "utf-8-sig" and form.compression in READ_DIRECTLY and not damaged
        if direct:
            compression = READ_DIRECTLY[form.compression]
            marked = {"quote": '"', "escape": form.escape} if marks else {"quote": "", "escape": ""}
            source = csv_rows(self.path, compression, columns, delimiter=delimiter, skip=skip, **marked)
            direct = not marks or self._conserves(source, found.lines - skip)
        if not direct:
            copy = self._folder / "clean"
            with opened(self.path, form.compression) as stream:
                for number, fields, problem in clean(stream, form, encoding, copy, self.limit):
                    if fields is None:
                        self.unreadable[problem] += 1
                        self._bad_lines.append(number - skip - form.preamble)
            inside = SEPARATOR if columns > 1 else "\x1e"
            source = csv_rows(copy, "none", columns, delimiter=inside, quote="", escape="", skip=0)
        if delimited:
            self._view(source)
            self._name([(name or f"column {at + 1}", f"v{at}") for at, name in enumerate(form.names)])
        else:
            self._objects(source, "v0")

    def _conserves(self, source: str, lines: int) -> bool:
        """Whether every line is a row. Quotation marks in odd places make DuckDB lose some, or give up."""
        import duckdb  # noqa: PLC0415

        try:
            if self.limit is not None:
                (read,) = self._sql.execute(f"SELECT count(*) FROM (FROM {source} LIMIT {self.limit})").fetchone()
                lines = min(lines, self.limit)
            else:
                (read,) = self._sql.execute(f"SELECT count(*) FROM {source}").fetchone()
            (rejects,) = self._sql.execute("SELECT count(*) FROM reject_errors").fetchone()
        except duckdb.Error:
            return False
        return bool(read == lines and not rejects)

    def _array(self) -> None:
        """JSON that is no object a line: a list of objects, or objects over several lines."""
        found, encoding = self._survey()
        source, compression = self.path, READ_DIRECTLY.get(self.form.compression, "")
        if encoding != "utf-8-sig" or found.foreign or not compression:
            source, compression = self._folder / "copy.json", "none"
            with opened(self.path, self.form.compression) as stream:
                source.write_text(stream.read().decode(encoding, "replace"), encoding="utf-8")
        self._objects(
            f"read_json_objects({quoted(str(source))}, format='auto', compression={quoted(compression)}, "
            f"maximum_object_size={LONGEST_LINE * 32})",
            "json::VARCHAR",
        )

    def _objects(self, source: str, column: str) -> None:
        self.query(
            "CREATE TABLE objects AS SELECT line, j, "
            "json_type(CASE WHEN json_valid(j) THEN j ELSE '0' END) = 'OBJECT' AS good "
            f"FROM (SELECT row_number() OVER () AS line, {column} AS j FROM {source}) "
            f"WHERE trim(j) <> ''{self._limited}"
        )
        self._bad_lines += [line for (line,) in self.query("SELECT line FROM objects WHERE NOT good ORDER BY line")]
        if self._bad_lines:
            self.unreadable["not a JSON object"] += len(self._bad_lines) - self.unreadable.total()
        self.query("CREATE VIEW rows AS SELECT row_number() OVER (ORDER BY line) AS row, j FROM objects WHERE good")
        shape = self.query("SELECT json_group_structure(j::JSON)::VARCHAR FROM rows")[0][0]
        tree = json.loads(shape) if shape else {}
        if not isinstance(tree, dict) or not tree:
            raise BadSource(f"{self.path} holds no JSON objects. Write one object a line; its keys name the columns.")
        found = paths(tree, self.objects)
        self._name([(name, f"json_extract_string(j, {quoted(path)})") for name, path in found])

    def _parquet(self) -> None:
        file = quoted(str(self.path))
        tops = top_names(self.query(f"SELECT name, num_children FROM parquet_schema({file})"))
        self._view(f"(SELECT * FROM read_parquet({file})) AS t({', '.join(f'v{at}' for at in range(len(tops)))})")
        types = self.query("SELECT column_name, column_type FROM (DESCRIBE rows)")[1:]
        for name, (value, kind) in zip(tops, types, strict=True):
            self._name(typed(name, value, kind, self.query, self.objects))

    def _name(self, columns: list[tuple[str, str]]) -> None:
        for name, expression in columns:
            if name in self._expressions:
                self._twice.add(name)
            self._expressions[name] = expression

    def count_rejects(self) -> None:
        """Count what DuckDB rejected, after a query that read the whole file: too many or too few fields."""
        if self._rejects_counted or self.form.kind != "delimited":
            return
        self._rejects_counted = True
        rejects = self.query("SELECT line, min(error_type::VARCHAR) FROM reject_errors GROUP BY line ORDER BY line")
        width = len(self.form.names)
        told = {
            "TOO MANY COLUMNS": f"more fields than columns ({width})",
            "MISSING COLUMNS": f"fewer fields than columns ({width})",
        }
        last = self.query("SELECT count(*) FROM rows")[0][0] if self.limit is not None and rejects else None
        for line, problem in rejects:
            number = line - int(self.form.header)
            if last is not None and number - len(self._bad_lines) > last:
                break
            self._bad_lines.append(number)
            self.unreadable[told.get(problem, problem.lower())] += 1
