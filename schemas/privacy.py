"""Erasure orders and their receipts: `ouzel.privacy` and `ouzel.privacy-receipts`, keyed by user."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_CLEARED, Id, Millis, Offset, Partition


class ErasureOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """An order to erase everything about this user."""

    id: Id
    user: Id
    ts: Millis


class ErasureReceipt(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """The data cleared for an order, and the model versions that read the user's history.

    The order took effect at `partition` and `offset` of `ouzel.events`, at time `ts` of the worker's clock: earlier
    events are cleared, later ones start an empty history. Entries of `cleared` and `remains` have the form what@where.
    `remains` names data that workers cannot delete: records of topics with time-based retention, until they expire.
    `person` is the pseudonym under which the user's data was stored, if any.
    """

    order: Id
    user: Id
    ts: Millis
    cleared: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)]
    model_versions: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)] = ()
    remains: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)] = ()
    partition: Partition | None = None
    offset: Offset | None = None
    person: Id | None = None
