"""Files and folders that other users of the machine cannot read: they hold users' contexts."""

import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

UMASK = 0o077
"""The rights withheld from others. Processes that write such files set it."""

FOLDER, FILE = 0o700, 0o600


def private_folder(folder: Path) -> None:
    """Create a folder for this user alone, with its parents. An existing folder is closed to others.

    Only for folders that are not shared: existing rights of others are removed without asking.
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
            log.warning("Others could read %s; their access was removed", folder)


def private_file(path: str, flags: int) -> int:
    """An opener for `open`: creates a file for this user alone, and closes an existing one to others."""
    opened = os.open(path, flags, FILE)
    found = os.fstat(opened)
    if stat.S_ISREG(found.st_mode) and found.st_mode & UMASK:  # never a terminal or /dev/null
        try:
            os.fchmod(opened, stat.S_IMODE(found.st_mode) & ~UMASK)
        except OSError as error:
            log.warning("Others can read %s, and that cannot be changed (%s): chmod go= it", path, error.strerror)
    return opened
