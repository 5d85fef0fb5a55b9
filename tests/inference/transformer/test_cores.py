"""The number of cores available to a process."""

import os
from pathlib import Path

import pytest

from inference.transformer.cores import available


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)


def described(tmp_path: Path, group: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Linux control group files: the line of this process, and files below the mount."""
    (tmp_path / "cgroup").write_text(group)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "cgroup", tmp_path / "mount"


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        pytest.param("", {}, 4, id="no groups: the affinity mask"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 4, id="no quota"),
        pytest.param("0::/\n", {"cpu.max": "200000 100000\n"}, 2, id="a quota, as in a container"),
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1, id="one and a half cores count as one"),
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 1, id="half a core counts as one"),
        pytest.param("0::/\n", {"cpu.max": "1600000 100000\n"}, 4, id="a quota above the mask"),
        pytest.param(
            "0::/outer/inner\n", {"outer/cpu.max": "300000 100000\n", "outer/inner/cpu.max": "max 100000\n"}, 3,
            id="the quota of a group that contains this one",
        ),
        pytest.param("0::/not/visible\n", {"cpu.max": "100000 100000\n"}, 1, id="a group that is not visible here"),
        pytest.param(
            "5:memory:/x\n4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "200000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 2, id="version 1",
        ),
        pytest.param(
            "4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4,
            id="version 1 without a quota",
        ),
    ],
)  # fmt: skip
def test_cores_are_the_minimum_of_mask_and_quotas(
    tmp_path: Path, group: str, files: dict[str, str], cores: int
) -> None:
    assert available(*described(tmp_path, group, files)) == cores


def test_cores_follow_the_mask_without_control_groups(tmp_path: Path) -> None:
    assert available(tmp_path / "none", tmp_path / "none") >= 1
