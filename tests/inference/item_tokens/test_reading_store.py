"""The reading store is exact, bounded, shared by processes, and its failures are not fatal."""

import logging
import multiprocessing
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.item_tokens import reading_store
from inference.item_tokens.reading import Reader, digest
from inference.item_tokens.reading_store import ReadingStore, read_through
from tests.support import tiny_model as tiny

SHAPE = (2, 32)
MIB = 1024 * 1024


def store(folder: Path, max_bytes: int = MIB, version: str = "tiny-1") -> ReadingStore:
    return ReadingStore(folder, version, SHAPE, max_bytes)


def some(count: int, begin: int = 0) -> dict[bytes, Tensor]:
    return {digest(str(n)): torch.full(SHAPE, n + 1 / 3) for n in range(begin, begin + count)}


def same(found: dict[bytes, Tensor], expected: dict[bytes, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_stored_reading_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    kept = some(700)
    first = store(tmp_path)
    first.put(kept)
    assert same(store(tmp_path).get(list(kept)), kept)
    assert same(first.get([digest("unknown"), *list(kept)[:3]]), dict(list(kept.items())[:3]))
    assert store(tmp_path, version="tiny-2").get(list(kept)) == {}
    assert first.get([]) == {}
    assert first.failures == 0


def test_oldest_readings_are_evicted_and_the_file_stays_bounded(tmp_path: Path) -> None:
    full = store(tmp_path, MIB)
    assert full.capacity == MIB // (4 * 2 * 32 + 128)
    for begin in range(0, 4 * full.capacity, 256):
        full.put(some(256, begin))
    kept = some(4 * full.capacity + 256)
    found = full.get(list(kept))
    assert full.capacity - 256 <= len(found) <= full.capacity
    newest = begin + 256
    assert same(found, some(len(found), newest - len(found)))
    assert full.path.stat().st_size < 1.2 * MIB
    # A lower bound frees space.
    low = store(tmp_path, MIB // 4)
    low.put(some(1, newest))
    assert len(low.get(list(some(newest + 1)))) == low.capacity
    assert full.path.stat().st_size < 0.4 * MIB


def test_foreign_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = some(3)
    path = store(tmp_path).path
    path.write_bytes(b"not a database, " * 1_000)
    fresh = store(tmp_path)
    assert fresh.get(list(kept)) == {}
    fresh.put(kept)
    assert same(fresh.get(list(kept)), kept)
    assert same(store(tmp_path).get(list(kept)), kept)
    assert fresh.failures == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "damaged" in line
    assert path.with_name(f"{path.name}.damaged").read_bytes().startswith(b"not a database")


def test_file_damaged_in_use_is_set_aside(tmp_path: Path) -> None:
    kept = some(700)
    used, other = store(tmp_path), store(tmp_path)
    used.put(kept)
    assert len(used.get(list(kept))) == 700
    assert len(other.get(list(kept))) == 700
    with used.path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 40_000)
    used.get(list(kept))
    used.put(kept)
    used.put(kept)
    assert same(used.get(list(kept)), kept)
    assert used.failures in {1, 2}
    # Another process with the damaged file open switches to the new file.
    other.put(some(1, 800))
    assert same(other.get(list(kept)), kept)


def test_damaged_reading_is_not_served(tmp_path: Path) -> None:
    kept = some(2)
    made = store(tmp_path)
    made.put(kept)
    with sqlite3.connect(made.path) as connection:
        connection.execute("UPDATE readings SET value = zeroblob(length(value)) WHERE place = 1")
        connection.execute("UPDATE readings SET value = x'00' WHERE place = 2")
    connection.close()
    assert made.get(list(kept)) == {}
    assert made.failures == 2
    made.put(kept)
    assert same(made.get(list(kept)), kept)


def test_full_disk_does_not_stop_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = store(tmp_path)
    made.put(some(2))
    whole = ReadingStore._connect

    def small(self: ReadingStore, seconds: float) -> sqlite3.Connection:
        connection = whole(self, seconds)
        connection.execute("PRAGMA max_page_count=1")
        return connection

    monkeypatch.setattr(ReadingStore, "_connect", small)
    for _ in range(3):
        made.put(some(500, 2))
    assert made.failures == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "disk is full" in caplog.text
    assert "Free some disk space" in caplog.text
    assert same(made.get(list(some(500))), some(2))


def test_unwritable_folder_does_not_stop_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    made = store(tmp_path / "file" / "readings")
    made.put(some(2))
    assert made.get(list(some(2))) == {}
    assert made.failures == 3
    assert len(caplog.records) == 1
    # Each write retries, since the fault may be temporary.
    (tmp_path / "file").unlink()
    made.put(some(2))
    assert same(made.get(list(some(2))), some(2))


def test_removed_store_is_recreated(tmp_path: Path) -> None:
    made = store(tmp_path)
    made.put(some(2))
    for path in tmp_path.iterdir():
        path.unlink()
    made.put(some(2, 2))
    assert same(made.get(list(some(4))), some(2, 2))


def writes(folder: Path, number: int, failures: "multiprocessing.Queue[int]") -> None:
    made = store(folder)
    for begin in range(0, 100, 10):
        made.put(some(10, 1_000 * number + begin))
        made.put(some(10))
        made.get(list(some(100)))
    failures.put(made.failures)


def test_store_is_shared_by_several_processes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    failures: multiprocessing.Queue[int] = context.Queue()
    children = [context.Process(target=writes, args=(tmp_path, number, failures)) for number in (1, 2, 3)]
    for child in children:
        child.start()
    assert [failures.get(timeout=60) for _ in children] == [0, 0, 0]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    kept = some(10) | some(100, 1_000) | some(100, 2_000) | some(100, 3_000)
    assert same(store(tmp_path).get(list(kept)), kept)


class Counting(Reader):
    asked = 0

    def __init__(self, base: str = "tiny-1") -> None:
        super().__init__(tiny.model().model, tiny.ByteTokens(), base, (1, 2))

    def read(self, texts: Sequence[str], progress=lambda done, total: None) -> Tensor:
        self.asked += len(texts)
        return super().read(texts, progress)


def test_texts_already_read_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_store, "_WRITE_SIZE", 2)
    made = Counting()
    steps: list[tuple[int, int]] = []
    texts = ["Heat", "Alien", "Heat", "Jaws"]
    first = read_through(ReadingStore.of(tmp_path, made, MIB), made, texts, lambda *step: steps.append(step))
    assert made.asked == 3
    assert steps == [(2, 3), (3, 3), (4, 4)]
    more = read_through(ReadingStore.of(tmp_path, made, MIB), made, ["Fargo", "Alien"])
    assert made.asked == 4
    assert torch.equal(first[0], first[2])
    assert torch.equal(more[1], first[1])
    assert torch.allclose(more, Counting().read(["Fargo", "Alien"]), atol=1e-4)
    assert len(list(tmp_path.glob("*.sqlite"))) == 1
    other = Counting("tiny-2")
    read_through(ReadingStore.of(tmp_path, other, MIB), other, ["Heat"])
    assert other.asked == 1


def test_texts_that_another_process_reads_meanwhile_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_store, "_WRITE_SIZE", 2)
    made, server = Counting(), Counting()
    texts = ["Heat", "Alien", "Jaws", "Fargo", "Big"]
    steps: list[tuple[int, int]] = []

    def told(done: int, total: int) -> None:
        steps.append((done, total))
        if len(steps) == 1:
            read_through(ReadingStore.of(tmp_path, server, MIB), server, ["Jaws", "Big"])

    found = read_through(ReadingStore.of(tmp_path, made, MIB), made, texts, told)
    assert made.asked == 3
    assert steps == [(2, 5), (4, 5), (5, 5)]
    assert torch.allclose(found, Counting().read(texts), atol=1e-4)


def test_reading_works_without_a_store(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counting()
    assert ReadingStore.of(None, made, MIB) is None
    assert torch.equal(read_through(None, made, ["Heat"]), made.read(["Heat"]))
    assert read_through(None, made, []).shape == (0, 2, 32)
    monkeypatch.setattr(reading_store, "sqlite3", None)
    assert ReadingStore.of(Path("/nowhere"), made, MIB) is None
    assert "no sqlite3 module" in caplog.text
