"""Erasure orders and their receipts: `ouzel.privacy` and `ouzel.privacy-receipts`, keyed by user."""

import msgspec

from schemas.limits import Id, Millis, Version


class ErasureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Forget everything about this person."""

    v: Version = 1
    id: Id
    user: Id
    ts: Millis


class ErasureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was cleared for an order, and which model versions saw the person."""

    v: Version = 1
    order: Id
    user: Id
    ts: Millis
    cleared: tuple[str, ...]
    model_versions: tuple[str, ...] = ()
