"""What people's likes say about pairs of items: `ouzel.covisits` (internal, keyed by item) and `ouzel.neighbours`
(compacted, keyed by item).

The worker that folds a person's events tells the worker that owns an item what was liked near it (`Covisits`). The owner
counts, and publishes the item's whole record (`Neighbours`), which every worker holds.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_NEIGHBOURS, Id, Millis, Scene


class Covisit(msgspec.Struct, frozen=True, array_like=True):
    """One like of the item (`other` is None), or one like of another item near it in the same person's sequence.

    `offset` is the offset in the source partition of `ouzel.events` of the event that told this: an owner skips what is at
    or before the last offset that it counted from that partition, so a repeat changes nothing. `distance` is how many
    likes apart the two stood, from 1; it is negative when the other item was liked first.
    """

    offset: int
    ts: Millis
    scene: Scene
    other: Id | None = None
    distance: int = 0


class Covisits(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What one batch of one partition of `ouzel.events` says about `item`, in offset order."""

    item: Id
    partition: int
    updates: tuple[Covisit, ...]


class Neighbours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """Everything counted about one item: its likes, its decayed trend by scene as of `ts`, and its strongest neighbours.

    `weights[k][i]` is the k-th co-visit weight of `others[i]`. `counted` is the last offset counted, by source partition.
    """

    item: Id
    ts: Millis
    likes: float
    trend: dict[str, float] = {}
    others: Annotated[tuple[Id, ...], Meta(max_length=MAX_NEIGHBOURS)] = ()
    weights: tuple[tuple[float, ...], ...] = ()
    counted: dict[int, int] = {}
