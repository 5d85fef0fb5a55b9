"""A damaged manifest is detected before RocksDB reads it: some damage makes RocksDB read it endlessly."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.rocksdb_manifest import whole, whole_log
from streams.state.store import Store, open_store

ENDLESS = bytes.fromhex(
    "256eaf9127000181402466303634366261392d383763382d343066322d616661372d636431613933333735613236052b284300000135403f"
    "88200001011a6c6576656c64622e4279746577697365436f6d70617261746f7289400101f4030c5a9fc005416a0cf1b2be60c5a170ce8a9e"
    "24ae32a32de552b32336976a8234bdb7370ca6beaf9700428c43120d9c867d3a2b628130747e5816383f24c22aff0aa6"
)
"""A manifest that RocksDB 10 reads endlessly."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Store(tmp_path / "state"):
        pass
    return tmp_path / "state"


def manifest(folder: Path) -> Path:
    return folder / (folder / "CURRENT").read_text().strip()


def test_manifest_written_by_rocksdb_is_whole(folder: Path, tmp_path: Path) -> None:
    assert whole(folder)
    assert whole(tmp_path / "nothing-yet")


def test_store_with_an_endless_manifest_is_rebuilt(folder: Path) -> None:
    manifest(folder).write_bytes(ENDLESS)
    assert not whole(folder)
    with open_store(folder, 1) as store:
        assert store.facts.position == 0
    assert whole(folder)


@given(st.data())
def test_every_change_is_detected(data: st.DataObject) -> None:
    good = ENDLESS[:46]  # its first record
    assert whole_log(good)
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(1, 255))
    assert not whole_log(good[:at] + bytes((good[at] ^ other,)) + good[at + 1 :])
    assert not whole_log(good[: max(1, at)])
