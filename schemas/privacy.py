"""Erasure orders and their receipts: `ouzel.privacy` and `ouzel.privacy-receipts`, keyed by user."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import MAX_CLEARED, Id, Millis, Offset, Partition


class ErasureOrder(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """Forget everything about this person."""

    id: Id
    user: Id
    ts: Millis


class ErasureReceipt(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """What was cleared for an order, and which model versions saw the person.

    The order took effect at `partition` and `offset` of `ouzel.events`, at time `ts` of the worker's clock: what stands
    before it is cleared, what comes after it starts anew. `cleared` and `remains` are of the form what@where. What
    `remains` is out of a worker's reach: topics that are kept by time, until then. `person` is the pseudonym under
    which the person was kept, if any."""

    order: Id
    user: Id
    ts: Millis
    cleared: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)]
    model_versions: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)] = ()
    remains: Annotated[tuple[Id, ...], Meta(max_length=MAX_CLEARED)] = ()
    partition: Partition | None = None
    offset: Offset | None = None
    person: Id | None = None
