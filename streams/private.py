"""Files and folders that no other user of the machine reads: they hold what people did."""

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

UMASK = 0o077
"""The rights that others do not get; set by a process that writes such files."""

FOLDER, FILE = 0o700, 0o600


def private_folder(folder: Path) -> None:
    """Make a folder of ours for this user alone, with its parents; close it if it is there and open to others.

    Only for folders that nobody else has a use for: it is not asked who may enter.
    """
    for each in reversed([folder, *folder.parents]):
        if not each.exists():
            each.mkdir(mode=FOLDER, exist_ok=True)
    rights = stat.S_IMODE(folder.stat().st_mode)
    if rights & UMASK:
        try:
            folder.chmod(rights & ~UMASK)
        except OSError as error:
            log.warning("Others can read %s, and that cannot be changed (%s): chmod go= it", folder, error.strerror)
        else:
            log.warning("Others could read %s; they cannot any more", folder)


def private_file(path: str, flags: int) -> int:
    """An opener for `open`: a file for this user alone, closed to others if it is there."""
    opened = os.open(path, flags, FILE)
    found = os.fstat(opened)
    if stat.S_ISREG(found.st_mode) and found.st_mode & UMASK:  # never a terminal or /dev/null
        try:
            os.fchmod(opened, stat.S_IMODE(found.st_mode) & ~UMASK)
        except OSError as error:
            log.warning("Others can read %s, and that cannot be changed (%s): chmod go= it", path, error.strerror)
    return opened
