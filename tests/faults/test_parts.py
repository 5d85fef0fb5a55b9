"""The parts of the harness that work on files and bytes."""

from pathlib import Path
from random import Random

import pytest

from schemas.codec import decode_event
from schemas.errors import Refused
from tests.faults.load import now_ms
from tests.faults.strikes.disks import damage
from tests.faults.strikes.inputs import poisonous
from tests.faults.worker import stepping


def test_everything_poisonous_is_refused() -> None:
    for key, value in poisonous(Random(1), 1):
        with pytest.raises(Refused):
            decode_event(value, key=key, now_ms=now_ms())


def test_damage_does_something_of_every_sort(tmp_path: Path) -> None:
    done = set()
    for seed in range(40):
        state = tmp_path / str(seed)
        state.mkdir()
        for number in range(3):
            (state / f"{number}.sst").write_bytes(bytes(1_000))
        before = {path.name: path.read_bytes() for path in state.iterdir()}
        done.add(damage(state, Random(seed)))
        after = {path.name: path.read_bytes() for path in state.iterdir()} if state.exists() else {}
        assert after != before
    assert done == {"cut", "overwrite", "delete", "lose"}


def test_a_clock_is_off_by_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    assert stepping(file)() == 0.0
    file.write_text("-30.5")
    assert stepping(file)() == -30.5
