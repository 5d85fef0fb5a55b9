"""Files appear whole, in a folder and in an object store, and only this user can read those in a folder."""

import os
import stat
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from schemas.events import Event
from schemas.topics import EVENTS
from streams.errors import BadSetting
from streams.settings import Settings
from streams.training_log.files import TEMPORARY, Files
from streams.training_log.log_files import LogFile, Part
from streams.training_log.tables import Row, rows_of, table_of
from tests.streams.training_log.world import NOW, event
from tests.support.object_store import ObjectStore, object_store

DAY = date(2026, 11, 27)
ROWS = [Row(0, at, NOW, event(at)) for at in range(10, 20)]
FILE = LogFile(EVENTS.name, 0, 10, 20, DAY)
SECRET = "a-secret-key-of-the-store"  # pragma: allowlist secret


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with object_store("bucket") as running:
        yield running


@pytest.fixture(params=["folder", "object store"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "folder":
        return Files(str(tmp_path / "log"))
    return Files(request.getfixturevalue("store").uri("bucket/a/log"))


def offsets(files: Files, begin: int) -> list[int]:
    return [row.offset for row in rows_of(Event, files.read(Part(FILE, begin)))]


def test_file_is_found_and_read_as_it_was_written(files: Files) -> None:
    files.prepare()
    assert files.of_topic(EVENTS.name) == []
    assert files.stored(FILE) is None
    files.write(FILE, table_of(Event, ROWS))
    (found,) = files.of_topic(EVENTS.name)
    assert found.file == FILE
    assert found == files.stored(FILE)
    assert found.size > 500
    assert list(rows_of(Event, files.read(Part(FILE, 10)))) == ROWS
    assert offsets(files, 17) == [17, 18, 19]
    assert offsets(files, 20) == []
    assert files.read(Part(FILE, 10), ["user"])["user"].to_pylist() == ["ann"] * 10


def test_file_is_replaced_and_deleted(files: Files) -> None:
    files.write(FILE, table_of(Event, ROWS))
    files.write(FILE, table_of(Event, []))
    assert offsets(files, 10) == []
    assert len(files.of_topic(EVENTS.name)) == 1
    assert files.delete(FILE)
    assert files.of_topic(EVENTS.name) == []
    with pytest.raises(FileNotFoundError):
        files.read(Part(FILE, 10))


def test_deleting_a_missing_file_says_so(tmp_path: Path) -> None:
    assert not Files(str(tmp_path)).delete(FILE)


def test_folder_of_a_day_goes_with_its_last_file(tmp_path: Path) -> None:
    files, other = Files(str(tmp_path)), LogFile(EVENTS.name, 0, 20, 21, DAY)
    for each in (FILE, other):
        files.write(each, table_of(Event, []))
    files.delete(FILE)
    assert (tmp_path / FILE.folder).exists()
    files.delete(other)
    assert not (tmp_path / FILE.folder).exists()


def test_files_are_private(tmp_path: Path) -> None:
    files = Files(str(tmp_path / "log"))
    files.prepare()
    files.write(FILE, table_of(Event, ROWS))
    for each in [tmp_path / "log", *(tmp_path / "log").rglob("*")]:
        assert stat.S_IMODE(each.stat().st_mode) & 0o077 == 0, each


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    files = Files(str(tmp_path))
    files.write(FILE, table_of(Event, ROWS))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        files.write(FILE, table_of(Event, []))
    monkeypatch.undo()
    assert offsets(files, 10) == list(range(10, 20))
    assert [each.name for each in (tmp_path / FILE.folder).iterdir()] == [FILE.name]


def test_unfinished_files_are_not_read_and_cleared_once_old(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    files.write(FILE, table_of(Event, ROWS))
    left = tmp_path / FILE.folder / f"{TEMPORARY}abc"
    left.write_bytes(b"PAR1")
    os.utime(left, (1_000, 1_000))
    assert [each.file for each in files.of_topic(EVENTS.name)] == [FILE]
    assert files.clear_unfinished(EVENTS.name, 999_999) == 0
    assert files.clear_unfinished(EVENTS.name, 1_000_001) == 1
    assert not left.exists()


def test_upload_that_fails_publishes_nothing(store: ObjectStore) -> None:
    files = Files(store.uri("bucket/log"))
    store.failing = True
    with pytest.raises(OSError, match=r"ACCESS_DENIED|AccessDenied|403"):
        files.write(FILE, table_of(Event, ROWS))
    assert not store.objects
    store.failing = False
    files.write(FILE, table_of(Event, ROWS))
    assert list(store.objects) == [f"bucket/log/{FILE.path}"]


def test_key_of_the_store_is_in_no_request_or_object(store: ObjectStore) -> None:
    files = Files(store.uri("bucket/log"))
    files.prepare()
    files.write(FILE, table_of(Event, ROWS))
    assert len(store.requests) >= 2
    assert SECRET not in repr((store.requests, store.objects, files))


def test_missing_bucket_is_named(store: ObjectStore) -> None:
    with pytest.raises(BadSetting, match="the bucket elsewhere, which does not exist: create it"):
        Files(store.uri("elsewhere/log")).prepare()


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("gs://bucket/log", "a folder or s3"),
        ("s3://AKIA:sEcReT@bucket/log", "set AWS_ACCESS_KEY_ID"),  # pragma: allowlist secret
        ("hdfs://host/log", "a folder or s3"),
    ],
)
def test_setting_takes_folders_and_s3_without_keys(root: str, said: str) -> None:
    with pytest.raises(BadSetting, match=said) as refused:
        Settings.make(training_log=root)
    assert "sEcReT" not in str(refused.value)
    assert Settings.make(training_log="s3://bucket/log").training_log.root == "s3://bucket/log"


def test_unusable_store_is_refused_without_its_text() -> None:
    with pytest.raises(BadSetting, match="OUZEL_TRAINING_LOG") as refused:
        Files("s3://bucket/log?secret=sEcReT&colour=red")
    assert "sEcReT" not in str(refused.value)
