"""State that a worker has left on its disk: of partitions that went to others while it ran, or while it was away.

It makes a return quick, but an erasure does not reach it: the partition's owner clears its own disk. So it goes when it
is as old as `OUZEL_STATE_MAX_AGE_S`, from when on it would be rebuilt anyway.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from schemas.topics import CONTEXTS
from streams.settings import Settings

log = logging.getLogger(__name__)

ASIDE = "gone-"
"""How the name of a folder begins that is about to be removed."""


def set_aside(held: Collection[Path], settings: Settings, now_ms: int) -> list[Path]:
    """Rename the folders of partitions that are not `held` and were last written too long ago; returns what is to be
    removed, with what an earlier call has left.

    Renaming takes no time, so that no partition can be assigned between a look at `held` and the end of this.
    """
    base = settings.state.dir / settings.kafka.app_id
    for folder in base.glob(f"{CONTEXTS.name}-*"):
        if folder not in held and now_ms - _written_ms(folder) > settings.state.max_age_s * 1000:
            folder.rename(base / f"{ASIDE}{folder.name}-{now_ms}")
            log.info("%s was left of a partition that is not ours; removed", folder.name)
    return list(base.glob(f"{ASIDE}*"))


def _written_ms(folder: Path) -> int:
    """When anything in the folder was last written, in milliseconds since 1970."""
    return max((int(path.stat().st_mtime * 1000) for path in [folder, *folder.iterdir()]), default=0)
