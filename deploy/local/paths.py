"""Check that files are readable and folders writable, before any work starts."""

import os
import stat
from pathlib import Path


def unreadable(path: Path) -> str | None:
    """The reason why `path` cannot be read as a regular file, with the next step; None if it can."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        return f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}. Check the path."
    if stat.S_ISDIR(mode):
        return f"{path} is a folder; name a file in it."
    if not stat.S_ISREG(mode):
        return f"{path} is a pipe, socket or device, not a file; save its output to a file and name that."
    if not os.access(path, os.R_OK):
        return f"{path} is not readable; change its permissions or name another file."
    return None


def unwritable(folder: Path) -> str | None:
    """The reason why `folder`, which need not exist yet, is not writable; None if it is."""
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    if not at.is_dir():
        return f"{at} is a file; name another folder than {folder}."
    if not os.access(at, os.W_OK | os.X_OK):
        return f"the folder {at} is not writable; change its permissions or name another."
    return None
