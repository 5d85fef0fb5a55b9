"""The store of a partition."""

import gc
import subprocess
import sys
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from rocksdict import Options, Rdict

from streams.errors import StoreFailed
from streams.state.store import Facts, Header, Store, header, open_store, seal


def test_store_keeps_values_and_facts(tmp_path: Path) -> None:
    facts = Facts(b"m1", 7, 8, 9)
    with Store(tmp_path / "a" / "b") as store:
        store.write([(b"cann", b"1"), (b"cbob", b"2"), (b"xann", b"3")], facts)
        store.write([(b"cbob", None)], facts)
    with Store(tmp_path / "a" / "b") as store:
        assert (store.get(b"cann"), store.get(b"cbob"), store.get(b"unknown")) == (b"1", None, None)
        assert store.facts == facts
        assert [key for key, _ in store.scan(b"", 10)] == [b"cann", b"xann"]
        assert [key for key, _ in store.scan(b"cann", 10)] == [b"xann"]
        assert list(store.scan(b"", 0)) == []
        assert store.size_bytes() > 0


def test_clear_deletes_everything(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
        store.clear()
        assert (store.get(b"cann"), store.facts) == (None, Facts())


def test_unreadable_store_is_recreated(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
    (tmp_path / "s" / "CURRENT").write_text("nonsense")
    with open_store(tmp_path / "s", 1) as store:
        assert store.facts == Facts()


def damaged_block(folder: Path) -> None:
    """Make a store in which one block of data, and nothing else, is damaged."""
    with Store(folder) as store:
        filler = Random(1)
        for number in range(400):
            store.write([(b"c%03d" % number, filler.randbytes(300))], Facts(b"m1", number, 8, 9))
    with Store(folder):
        pass  # the log's records are now in a separate file
    (table,) = folder.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 0xFF
    table.write_bytes(content)


def test_damage_is_raised_and_the_next_store_is_empty(tmp_path: Path) -> None:
    damaged_block(tmp_path / "s")
    with open_store(tmp_path / "s", 1) as store:
        assert store.facts.position == 399, "the damage was found on opening"
        with pytest.raises(StoreFailed, match="damaged"):
            [store.get(b"c%03d" % number) for number in range(400)]
    with open_store(tmp_path / "s", 1) as store:
        assert store.facts == Facts()


def test_damaged_block_on_opening_is_not_taken_for_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen with a damaged file: RocksDB says `block checksum mismatch` while it opens."""
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
    opened = []

    def damaged(path: str, options: Options) -> Rdict:
        opened.append(path)
        if len(opened) == 1:
            raise Exception("Corruption: block checksum mismatch: stored = 1, computed = 2 in /x/000009.sst offset 0")
        return Rdict(path, options)

    monkeypatch.setattr("streams.state.store.Rdict", damaged)
    with open_store(tmp_path / "s", 1) as store:
        assert store.facts == Facts()


def test_folder_open_in_another_process_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
        with pytest.raises(Exception, match="/LOCK: "):
            open_store(tmp_path / "s", 1)
        assert store.get(b"cann") == b"1"
    opening = (
        "import sys; from pathlib import Path; from streams.state.store import open_store; "
        "open_store(Path(sys.argv[1]), 1)"
    )
    with Store(tmp_path / "s"):
        other = subprocess.run(
            [sys.executable, "-c", opening, str(tmp_path / "s")], capture_output=True, text=True, check=False
        )
    assert "/LOCK: " in other.stderr
    with Store(tmp_path / "s") as store:
        assert store.get(b"cann") == b"1"


def test_damage_during_a_scan_is_raised(tmp_path: Path) -> None:
    damaged_block(tmp_path / "s")
    with open_store(tmp_path / "s", 1) as store, pytest.raises(StoreFailed, match="damaged"):
        list(store.scan(b"", 1_000))


@pytest.mark.parametrize("begin", ["reopened", "cleared"])
def test_iterator_in_a_reference_cycle_does_not_keep_the_folder_open(tmp_path: Path, begin: str) -> None:
    """The traceback of an error that ended a partition can hold one; a worker's collector runs rarely."""
    store = Store(tmp_path / "s")
    store.write([(b"cann", b"1"), (b"cbob", b"2")], Facts(b"m1", 7, 8, 9))
    scan = store.scan(b"", 10)
    next(scan)
    cycle: list[object] = [scan]
    cycle.append(cycle)
    gc.disable()
    try:
        del scan, cycle
        if begin == "cleared":
            store.clear()
        else:
            store.close()
            store = open_store(tmp_path / "s", 1)
    finally:
        gc.enable()
    assert store.get(b"cann") == (None if begin == "cleared" else b"1")
    store.close()


def test_scan_error_keeps_no_iterator(tmp_path: Path) -> None:
    damaged_block(tmp_path / "s")
    store = open_store(tmp_path / "s", 1)
    with pytest.raises(StoreFailed, match="damaged") as held:
        list(store.scan(b"", 1_000))
    store.close()
    Rdict(str(tmp_path / "s"), Options(raw_mode=True)).close()
    assert held.value


@pytest.mark.parametrize("moment", ["open", "write"])
def test_full_disk_is_reported_and_nothing_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def full(*_: object) -> None:
        raise Exception("IO error: No space left on device: While appending to file: /x/000004.log: No space left")

    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
    with monkeypatch.context() as patched:
        if moment == "open":
            patched.setattr("streams.state.store.Rdict", full)
            with pytest.raises(StoreFailed, match="full"):
                open_store(tmp_path / "s", 1)
        else:
            with open_store(tmp_path / "s", 1) as store:
                patched.setattr(store, "_db", SimpleNamespace(write=full, close=store._db.close))
                with pytest.raises(StoreFailed, match="full"):
                    store.write([(b"cann", b"2")], Facts())
    with open_store(tmp_path / "s", 1) as store:
        assert store.get(b"cann") == b"1"


def test_disk_failure_on_closing_hides_no_other_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise Exception("IO error: No space left on device")

    store = Store(tmp_path / "s")
    with monkeypatch.context() as patched:
        patched.setattr(store, "_db", SimpleNamespace(close=full))
        store.close()
    store.close()


def test_store_held_by_another_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "s") as store:
        store.write([(b"cann", b"1")], Facts(b"m1", 7, 8, 9))
        with pytest.raises(Exception, match=r"(?i)lock"):
            open_store(tmp_path / "s", 1)
        assert store.get(b"cann") == b"1"


def test_envelope_keeps_stamp_time_and_payload() -> None:
    assert header(seal(3, 5, b"payload")) == Header(3, 5)
    assert seal(3, 5, b"payload").endswith(b"payload")
