"""Files of rows: both formats hold the same, and a reader never sees half a file."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from deploy.errors import DeployError, MissingPart
from deploy.export import formats
from deploy.export.erased_users import ErasedUsers
from deploy.export.formats import check_format, format_of, write_file
from deploy.export.list_rows import Counts, ListRow, rows
from tests.deploy.export.records import made
from tests.deploy.test_shown import HOSTILE, check

ROWS = list(rows([made("ann", "a", "b", degraded=None), made(HOSTILE, "c")], {"a": HOSTILE}, ErasedUsers(), Counts()))


def read(path: Path) -> list[ListRow]:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        told = table.set_column(3, "ts", table["ts"].cast("int64")).to_pylist()
    else:
        told = [json.loads(line) for line in path.read_text().splitlines()]
    return [msgspec.convert(row, ListRow) for row in told]


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.parquet"])
@pytest.mark.parametrize("many", [0, 1, 3])
def test_file_holds_the_rows(name: str, many: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "GROUP_ROWS", 2)
    path = tmp_path / name
    write_file(path, format_of(path), ROWS[:many])
    assert read(path) == ROWS[:many]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [name]


def test_parquet_file_has_types(tmp_path: Path) -> None:
    write_file(tmp_path / "lists.parquet", "parquet", ROWS)
    schema = pq.read_schema(tmp_path / "lists.parquet")
    assert schema.names == list(ListRow.__struct_fields__)
    assert str(schema.field("ts").type) == "timestamp[ms, tz=UTC]"
    assert [field.name for field in schema if field.nullable] == ["title", "degraded", "model_version"]


def test_lines_show_no_control_characters(tmp_path: Path) -> None:
    write_file(tmp_path / "lists.jsonl", "jsonl", ROWS)
    check((tmp_path / "lists.jsonl").read_text())


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.parquet"])
def test_file_is_as_before_until_the_new_one_is_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("before")

    def failing() -> Iterator[ListRow]:
        yield from ROWS
        assert path.read_text() == "before"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_file(path, format_of(path), failing())
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == [name]
    write_file(path, format_of(path), ROWS)
    assert read(path) == ROWS


def test_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "lists.jsonl"
    link.symlink_to(tmp_path / "there" / "real.jsonl")
    write_file(link, "jsonl", ROWS)
    assert link.is_symlink()
    assert read(tmp_path / "there" / "real.jsonl") == ROWS


def test_ending_says_the_format() -> None:
    assert format_of(Path("a/LISTS.Parquet")) == "parquet"
    assert format_of(Path("lists.ndjson")) == "jsonl"
    with pytest.raises(DeployError, match=r"lists\.csv has none of the endings \.jsonl, .*--format"):
        format_of(Path("lists.csv"))


def test_missing_pyarrow_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    check_format("jsonl")
    with pytest.raises(MissingPart, match=r"pyarrow.*ouzel\[files\]"):
        check_format("parquet")
