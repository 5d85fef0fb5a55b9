"""Lists as rows of a table: one for each entry. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from deploy.export.erased_users import ErasedUsers
from schemas.recommendations import Recommendation


class ListRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a user's list. Fields have the meaning and the bounds of `Recommendation` and `Entry`.

    `list` is the list's id, `ts` milliseconds since 1970, `position` from 0 as in feedback. `title` is None if the
    catalogue does not have the item: it was withdrawn, or never published. `reason` is the code.
    """

    user: str
    scene: str
    list: str
    ts: int
    position: int
    item: str
    title: str | None
    score: float
    reason: str
    reason_text: str
    degraded: str | None
    model_version: str | None


@dataclass(kw_only=True)
class Counts:
    """What was exported, and which newest lists were left out: of erased users, older than asked for, without entries.
    `untitled` are the rows without a title."""

    users: int = 0
    lists: int = 0
    rows: int = 0
    untitled: int = 0
    erased: int = 0
    older: int = 0
    empty: int = 0


def rows(
    lists: Iterable[Recommendation],
    titles: Mapping[str, str],
    erased: ErasedUsers,
    counts: Counts,
    *,
    since_ms: int | None = None,
    top: int | None = None,
) -> Iterator[ListRow]:
    """The rows of `lists`, which come user by user; `counts` is filled on the way.

    `since_ms` leaves out older lists; `top` is the number of entries of each list, by default all.
    """
    last = None
    for made in lists:
        if erased.covers(made):
            counts.erased += 1
        elif since_ms is not None and made.ts < since_ms:
            counts.older += 1
        elif not made.entries:
            counts.empty += 1
        else:
            counts.lists += 1
            counts.users += made.user != last
            last = made.user
            for row in _of(made, titles, top):
                counts.rows += 1
                counts.untitled += row.title is None
                yield row


def _of(made: Recommendation, titles: Mapping[str, str], top: int | None) -> Iterator[ListRow]:
    for position, entry in enumerate(made.entries[:top]):
        yield ListRow(
            user=made.user,
            scene=made.scene,
            list=made.id,
            ts=made.ts,
            position=position,
            item=entry.item,
            title=titles.get(entry.item),
            score=entry.score,
            reason=entry.reason.code,
            reason_text=entry.reason.text,
            degraded=None if made.degraded is None else made.degraded.value,
            model_version=made.model_version,
        )
