"""Co-visits of pairs of items: `ouzel.covisits` (internal, keyed by item) and `ouzel.neighbours` (compacted, keyed by
item).

The worker that folds a user's event sends the user's recent items to the worker that owns the event's item
(`Covisits`). The owner counts them and publishes the item's whole record (`Neighbours`), which every worker holds. An
event makes one update, for the item of the event; readers derive the opposite direction of each pair.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_NEIGHBOURS, Finite, Id, Millis, Offset, Partition, Scene

MAX_EARLIER = 40
"""Maximum earlier items in one update."""

MAX_UPDATES = 40
"""Maximum updates in one message; with every id at its maximum length the message takes 0.85 MB."""

MAX_KERNELS = 8
MAX_TRENDS = 16
MAX_PARTITIONS = 4_096

Apart = Annotated[int, Meta(ge=0, le=1_000)]


class Earlier(msgspec.Struct, frozen=True, array_like=True):
    """An earlier item of the same user, `apart` events of any kind before, from 1 (0: too far apart to count).

    `likes_apart` is the distance in likes, from 1, if both items were liked, else 0.
    """

    item: Id
    apart: Apart
    likes_apart: Apart = 0


class Covisit(msgspec.Struct, frozen=True, array_like=True):
    """One event on the item, whether it was a like, and the user's earlier items.

    `offset` is the event's offset in its partition of `ouzel.events`. An owner skips offsets up to the last one that it
    counted from that partition, so duplicates change nothing.
    """

    offset: Offset
    ts: Millis
    scene: Scene
    liked: bool = False
    earlier: Annotated[tuple[Earlier, ...], Meta(max_length=MAX_EARLIER)] = ()


class Covisits(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """The updates for `item` from one batch of one partition of `ouzel.events`, in offset order."""

    item: Id
    partition: Partition
    updates: Annotated[tuple[Covisit, ...], Meta(max_length=MAX_UPDATES)]


class Neighbours(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """All counts of one item, decayed to `ts`: its likes, its events of any kind (`seen`), its recent likes by scene
    (`trend`), and the items that users met before it.

    `weights` holds one little-endian float32 for each of `others` and each kernel, others-major. `kernels` names the
    kernels, so that weights of different kernels are not misread. `counted` is the last offset counted, by source
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
