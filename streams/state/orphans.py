"""Orphaned state on a worker's disk: of partitions that moved to other workers.

It speeds up a return of the partition, but erasures do not reach it: only the partition's owner clears its disk. So it
is removed once it is older than `OUZEL_STATE_MAX_AGE_S`, when it would be rebuilt anyway.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from schemas.topics import CONTEXTS
from streams.settings import Settings

log = logging.getLogger(__name__)

ASIDE = "gone-"
"""Prefix of a folder that is about to be removed."""


def set_aside(held: Collection[Path], settings: Settings, now_ms: int) -> list[Path]:
    """Rename the folders of partitions that are not `held` and were last written too long ago.

    Returns the folders to remove, including those left by an earlier call. Renaming is fast, so no partition can be
    assigned between reading `held` and the end of this call.
    """
    base = settings.state.dir / settings.kafka.app_id
    for folder in base.glob(f"{CONTEXTS.name}-*"):
        if folder not in held and now_ms - _written_ms(folder) > settings.state.max_age_s * 1000:
            folder.rename(base / f"{ASIDE}{folder.name}-{now_ms}")
            log.info("Removed %s, the state of a partition that moved to another worker", folder.name)
    return list(base.glob(f"{ASIDE}*"))


def _written_ms(folder: Path) -> int:
    """When anything in the folder was last written, in milliseconds since 1970."""
    return max((int(path.stat().st_mtime * 1000) for path in [folder, *folder.iterdir()]), default=0)
