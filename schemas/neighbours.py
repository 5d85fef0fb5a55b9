"""What people's interactions say about pairs of items: `ouzel.covisits` (internal, keyed by item) and
`ouzel.neighbours` (compacted, keyed by item).

The worker that folds a person's event tells the worker that owns the event's item what the person did shortly before
(`Covisits`). The owner counts, and publishes the item's whole record (`Neighbours`), which every worker holds. An event
makes one update, for its own item; the opposite direction of each pair is derived where records are read.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_NEIGHBOURS, Finite, Id, Millis, Offset, Partition, Scene

MAX_EARLIER = 40
"""Earlier items that one update may name."""

MAX_UPDATES = 40
"""Updates of one message; with every id at its greatest it takes 0.85 MB."""

MAX_KERNELS = 8
MAX_TRENDS = 16
MAX_PARTITIONS = 4_096

Apart = Annotated[int, Meta(ge=0, le=1_000)]


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """An item that the same person met before: `apart` events of any kind ago, from 1 (0: further than is counted).

    `likes_apart` is how many likes apart the two stand, from 1, when both were liked, else 0.
    """

    item: Id
    apart: Apart
    likes_apart: Apart = 0


class Covisit(msgspec.Struct, frozen=True, array_like=True):
    """One event on the item, whether it was a like, and what the person met before it.

    `offset` is the event's offset in its partition of `ouzel.events`: an owner skips what is at or before the last
    offset that it counted from that partition, so a repeat changes nothing.
    """

    offset: Offset
    ts: Millis
    scene: Scene
    liked: bool = False
    earlier: Annotated[tuple[Earlier, ...], Meta(max_length=MAX_EARLIER)] = ()


class Covisits(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What one batch of one partition of `ouzel.events` says about `item`, in offset order."""

    item: Id
    partition: Partition
    updates: Annotated[tuple[Covisit, ...], Meta(max_length=MAX_UPDATES)]


class Neighbours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """Everything counted about one item, decayed to `ts`: its likes, its events of any kind (`seen`), its likes lately
    by scene (`trend`), and the items that people met before it.

    `weights` is one little-endian float32 for each of `others` and each kernel, others-major; `kernels` names the
    kernels, so that weights counted under others are not misread. `counted` is the last offset counted, by source
    partition.
    """

    item: Id
    ts: Millis
    likes: Finite
    seen: Finite = 0.0
    trend: Annotated[dict[Scene, Finite], Meta(max_length=MAX_TRENDS)] = {}
    others: Annotated[tuple[Id, ...], Meta(max_length=MAX_NEIGHBOURS)] = ()
    kernels: Annotated[str, Meta(max_length=128)] = ""
    weights: Annotated[bytes, Meta(max_length=4 * MAX_NEIGHBOURS * MAX_KERNELS)] = b""
    counted: Annotated[dict[Partition, Offset], Meta(max_length=MAX_PARTITIONS)] = {}
