"""CPU time and peak memory of a process and its descendants, from /proc."""

import os
from pathlib import Path


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # it has just exited
                continue
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time so far of the process, its living descendants, and the children that it waited for."""
    return sum(_ticks(each) for each in tree(pid)) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """The sum of the peak memory of the process and its descendants."""
    return sum(_high_water(each) for each in tree(pid)) / 1024


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
