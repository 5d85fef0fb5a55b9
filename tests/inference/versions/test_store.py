"""Versions on disk: complete or absent, whatever happens while one is written."""

from pathlib import Path

import msgspec
import pytest

from deploy.learning.store_facts import read_known
from inference.errors import WeightsError
from inference.versions.store import RECORD, VERDICTS, Gate, Verdict, Version, VersionStore

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
    assert (store.gates(2), store.verdicts(2), store.unread(2)) == (gates, verdicts, [])


@pytest.mark.parametrize("number", [1, 2])
def test_verdict_after_a_torn_line_has_its_own(tmp_path: Path, number: int) -> None:
    first, torn, last = (Verdict(ts=ts, event="shadow", reason=f"reason {ts}") for ts in (1, 2, 3))
    whole = msgspec.json.encode(torn)
    for cut in range(1, len(whole)):
        store = VersionStore(tmp_path / str(cut))
        store.add_verdict(number, first)
        with (store.folder(number) / VERDICTS).open("ab") as out:
            out.write(whole[:cut])
        store.add_verdict(number, last)
        assert store.verdicts(number) == [first, last]
        (told,) = store.unread(number)
        assert told.startswith(f"{store.folder(number) / VERDICTS}, line 2: ")
        (known, unread) = read_known(store)
        assert (known[number].record, known[number].verdicts, unread) == (None, (first, last), [told])


def test_whole_verdict_without_its_line_end_counts(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    verdicts = [Verdict(ts=ts, event="shadow", reason="x") for ts in (1, 2)]
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / VERDICTS).write_bytes(msgspec.json.encode(verdicts[0]))
    store.add_verdict(2, verdicts[1])
    assert (store.verdicts(2), store.unread(2)) == (verdicts, [])


def test_torn_verdict_of_a_version_is_reported_with_it(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    write(store, 2)
    (tmp_path / "2" / VERDICTS).write_bytes(b'{"ts": 3, "ev')
    known, unread = read_known(store)
    assert known[2].verdicts == ()
    assert unread == store.unread(2) != []


def test_deleted_and_damaged_versions_keep_their_verdicts_and_numbers(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    verdict = Verdict(ts=1, event="retired", reason="replaced")
    for number in (1, 2, 3, 5):
        store.add_verdict(number, verdict)
    write(store, 4)
    (tmp_path / "3" / RECORD).write_bytes(b"{")
    assert (store.numbers(), store.judged(), store.next_number()) == ([3, 4], [1, 2, 3, 5], 6)
    known, unread = read_known(store)
    assert {number: (each.record, each.verdicts) for number, each in known.items()} == {
        **dict.fromkeys((1, 2, 3, 5), (None, (verdict,))),
        4: (msgspec.structs.replace(MADE, number=4), ()),
    }
    assert ["delete version 3" in text for text in unread] == [True]


def test_damaged_record_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    write(store, 2)
    (tmp_path / "2" / RECORD).write_bytes(b"{")
    with pytest.raises(WeightsError, match="delete version 2"):
        store.record(2)
