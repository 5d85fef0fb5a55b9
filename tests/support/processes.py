"""What Linux tells of the processes of a running server."""

import os
from pathlib import Path


def of_group(group: int) -> list[Path]:
    """The folders in /proc of a process group's living processes."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Of a process that was killed the first thread may be gone before the others, which hold its files.
        if int(state[2]) == group and (state[0] != "Z" or int(state[17]) > 1):
            found.append(entry)
    assert Path(f"/proc/{os.getpid()}") not in found
    return found


def shared_memory(group: int) -> set[Path]:
    """The files in /dev/shm that a process of the group has mapped."""
    lines = [line for entry in of_group(group) for line in (entry / "maps").read_text().splitlines()]
    return {Path(line[line.index("/dev/shm/") :]) for line in lines if "/dev/shm/" in line}


def listening(group: int) -> set[int]:
    """The TCP ports that a process of the group listens on."""
    links = [link for entry in of_group(group) for link in (entry / "fd").iterdir()]
    sockets = {target.name for target in map(Path.readlink, links) if target.name.startswith("socket:")}
    rows = [line.split() for family in ("tcp", "tcp6") for line in Path(f"/proc/net/{family}").read_text().splitlines()]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
