"""Whose shared memory is whose, without any server."""

import os
import subprocess
import sys
from pathlib import Path

from inference.triton import region

HOLD = """import sys
from pathlib import Path
from inference.triton import region
with region.claimed(Path(sys.argv[1])) as regions:
    (Path(sys.argv[1]) / f"{regions.prefix}a").touch()
    print(regions.prefix, flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_sweep_removes_regions_of_dead_servers_only(tmp_path: Path) -> None:
    for name in ("triton_python_backend_shm_region_1", "ouzel-", "ouzel-*-lock", "else"):
        (tmp_path / name).touch()
    before = names(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = other.stdout.readline().strip()
        with region.claimed(tmp_path) as ours:
            (tmp_path / f"{ours.prefix}b").touch()
            assert {f"{theirs}a", f"{theirs}lock", f"{ours.prefix}b", f"{ours.prefix}lock"} | before == names(tmp_path)
        assert {f"{theirs}a", f"{theirs}lock"} | before == names(tmp_path)
        other.kill()
    assert {f"{theirs}a", f"{theirs}lock"} | before == names(tmp_path)
    region.sweep(tmp_path)
    assert names(tmp_path) == before


def test_forged_lock_removes_nothing(tmp_path: Path) -> None:
    with region.claimed(tmp_path) as ours:
        (tmp_path / f"{ours.prefix}c5ccc662-aa9e").touch()
        (tmp_path / f"{ours.prefix}c5ccc662-lock").touch()
        (tmp_path / f"ouzel-{'0' * 16}-lock").symlink_to(tmp_path / f"{ours.prefix}c5ccc662-aa9e")
        os.mkfifo(tmp_path / "ouzel-*-lock")
        before = names(tmp_path)
        region.sweep(tmp_path)
        assert names(tmp_path) == before


def test_server_counts_as_alive_while_any_process_holds_its_lock(tmp_path: Path) -> None:
    with region.claimed(tmp_path) as ours:
        kept = os.dup(ours.lock)
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[ours.lock]) as child:
            region.sweep(tmp_path)
            assert names(tmp_path) == {f"{ours.prefix}lock"}
            child.terminate()
    os.close(kept)
    assert names(tmp_path) == set()


def test_mapped_regions_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    mapped, apart, deep = tmp_path / "a", tmp_path / "b", tmp_path / "deep" / "c"
    deep.parent.mkdir()
    for path in (mapped, apart, deep):
        path.touch(0o644)
        path.chmod(0o644)
    maps = tmp_path / "maps"
    lines = [
        "7f0000000000-7f0000100000 rw-s 00000000 00:1a 3 " + str(mapped),
        "7f0000100000-7f0000200000 rw-s 00000000 00:1a 4 " + str(deep),
        "7f0000200000-7f0000300000 rw-s 00000000 00:1a 5 " + str(tmp_path / "gone"),
        "7f0000300000-7f0000400000 rw-p 00000000 00:00 0 [heap]",
        "7f0000400000-7f0000500000 rw-p 00000000 00:00 0",
    ]
    maps.write_text("\n".join(lines))
    region.protect(maps, tmp_path)
    assert [path.stat().st_mode & 0o777 for path in (mapped, apart, deep)] == [0o600, 0o644, 0o644]
