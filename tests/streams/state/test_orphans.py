"""State left by partitions that are not ours."""

import os
import time
from pathlib import Path

from streams.settings import Settings
from streams.state.orphans import set_aside
from streams.state.store import Store, folder_of


def test_orphans_are_removed_unless_held_or_recent(tmp_path: Path) -> None:
    settings = Settings.make(state_dir=tmp_path, state_max_age_s=60)
    folders = [folder_of(settings, partition) for partition in range(3)]
    for folder in folders:
        Store(folder).close()
    now_ms = time.time_ns() // 1_000_000
    for folder in folders[:2]:
        for path in (*folder.iterdir(), folder):
            os.utime(path, (now_ms / 1000 - 120, now_ms / 1000 - 120))
    (aside,) = set_aside([folders[0]], settings, now_ms)
    assert [folder.exists() for folder in folders] == [True, False, True]
    assert set_aside([folders[0]], settings, now_ms) == [aside]  # still to be removed
    Store.remove(aside)
    assert set_aside([folders[0]], settings, now_ms) == []
    assert set_aside([], Settings.make(state_dir=tmp_path / "none"), now_ms) == []
