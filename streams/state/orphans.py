"""Orphaned state on a worker's disk: of partitions that moved to other workers.

It speeds up a return of the partition, but erasures do not reach it: only the partition's owner clears its disk. So it
is removed once it is older than `OUZEL_STATE_MAX_AGE_S`, when it would be rebuilt anyway.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from schemas.topics import CONTEXTS
from streams.clock import Clock
from streams.settings import Settings
from streams.state.store import Store, folder_of

log = logging.getLogger(__name__)

ASIDE = "gone-"
"""Prefix of a folder that is about to be removed."""

LOOK_SECONDS = 60.0


async def clear(held: Callable[[], Iterable[int]], settings: Settings, clock: Clock) -> None:
    """Remove the state of partitions that are not `held`, once it is too old to be used. Until cancelled."""
    while True:
        here = {folder_of(settings, partition) for partition in held()}
        for folder in set_aside(here, settings, clock.now_ms()):
            await asyncio.to_thread(Store.remove, folder)
        await clock.sleep(LOOK_SECONDS)


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
