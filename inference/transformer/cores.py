"""The number of CPU cores available to this process, which may be fewer than the machine has."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def available(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """The cores in this process's affinity mask, or the CPU quota of its control group if smaller; at least 1.

    Quotas are rounded down: threads that wait for each other need whole cores. `groups` and `mount` are the Linux paths
    of control groups, version 1 or 2; other systems have no quota.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(groups, mount)])))


def _quotas(groups: Path, mount: Path) -> Iterator[float]:
    """The quotas, in cores, of this process's control group and its ancestors."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, read = mount, _version_2
        elif "cpu" in controllers.split(","):
            root, read = mount / "cpu", _version_1
        else:
            continue
        inner = root / path.strip("/")
        for folder in (inner, *inner.parents):
            quota = _quota(folder, read)
            if quota is not None:
                yield quota
            if folder == root:
                break


def _quota(folder: Path, read: Callable[[Path], tuple[str, str]]) -> float | None:
    """The quota of one group; None if it has none, or is not visible."""
    try:
        allowed, period = read(folder)
        return int(allowed) / int(period) if int(allowed) > 0 else None
    except (OSError, ValueError):  # "max" means no quota
        return None


def _version_2(folder: Path) -> tuple[str, str]:
    allowed, _, period = (folder / "cpu.max").read_text(encoding="ascii").partition(" ")
    return allowed, period


def _version_1(folder: Path) -> tuple[str, str]:
    return (folder / "cpu.cfs_quota_us").read_text(encoding="ascii"), (folder / "cpu.cfs_period_us").read_text(
        encoding="ascii"
    )
