"""State that a worker has left on its disk: of partitions that went to others while it ran, or while it was away.

It makes a return quick, but an erasure does not reach it: the partition's owner clears its own disk. So it goes when it
is as old as `OUZEL_STATE_MAX_AGE_S`, from when on it would be rebuilt anyway.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from schemas.topics import CONTEXTS
from streams.settings import Settings
from streams.store import Store

log = logging.getLogger(__name__)


def clear(held: Collection[Path], settings: Settings, now_ms: int) -> int:
    """Remove the folders of partitions that are not `held` and were last written too long ago; returns how many."""
    removed = 0
    for folder in (settings.state_dir / settings.app_id).glob(f"{CONTEXTS.name}-*"):
        if folder not in held and now_ms - _written_ms(folder) > settings.state_max_age_s * 1000:
            Store.remove(folder)
            log.info("%s was left of a partition that is not ours; removed", folder.name)
            removed += 1
    return removed


def _written_ms(folder: Path) -> int:
    """When anything in the folder was last written, in milliseconds since 1970."""
    return max((int(path.stat().st_mtime * 1000) for path in [folder, *folder.iterdir()]), default=0)
