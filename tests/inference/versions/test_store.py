"""Versions on disk: complete or absent, whatever happens while one is written."""

from pathlib import Path

import msgspec
import pytest

from inference.errors import WeightsError
from inference.versions.store import RECORD, Gate, Verdict, Version, VersionStore

MADE = Version(number=2, name="v-2", parent=1, kind="full", made_ms=9, cut_ms=8, events=7, likes=6, tests=5)


def write(store: VersionStore, number: int) -> None:
    with store.written(number) as folder:
        (folder / RECORD).write_bytes(msgspec.json.encode(msgspec.structs.replace(MADE, number=number)))


def test_version_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "versions")
    assert (store.numbers(), store.next_number()) == ([], 2)
    with pytest.raises(RuntimeError), store.written(2) as folder:  # noqa: PT012
        (folder / RECORD).write_bytes(b"{}")
        raise RuntimeError
    assert (store.numbers(), list(store.root.iterdir())) == ([], [])
    write(store, 2)
    write(store, 10)
    assert (store.numbers(), store.next_number()) == ([2, 10], 11)
    assert store.record(2) == MADE


def test_unfinished_folders_are_cleared(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    (tmp_path / ".tmp-3-77" / "adapter").mkdir(parents=True)
    assert (store.numbers(), store.clear_unfinished(), store.clear_unfinished()) == ([], 1, 0)


def test_gates_and_verdicts_are_read_as_written(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    write(store, 2)
    assert (store.gates(2), store.verdicts(2)) == ([], [])
    gates = [Gate(name="quality", figure=0.01, low=-0.01, high=0.03, threshold=-0.02, passed=True, text="better")]
    store.set_gates(2, gates)
    verdicts = [Verdict(ts=1, event="shadow", reason="gates passed"), Verdict(ts=2, event="promoted", reason="x")]
    for each in verdicts:
        store.add_verdict(2, each)
    with (tmp_path / "2" / "verdicts.jsonl").open("ab") as out:
        out.write(b'{"ts": 3, "ev')
    assert (store.gates(2), store.verdicts(2)) == (gates, verdicts)


def test_damaged_record_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    write(store, 2)
    (tmp_path / "2" / RECORD).write_bytes(b"{")
    with pytest.raises(WeightsError, match="delete version 2"):
        store.record(2)
