"""What a learner reads of Kafka as a whole: the catalogue, and the receipts of erasure orders."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS
from deploy.kafka.whole_topic import whole_topic
from schemas.codec import decode, decode_item
from schemas.errors import Refused
from schemas.items import Item
from schemas.privacy import ErasureReceipt
from schemas.topics import ITEMS, PRIVACY_RECEIPTS
from streams.unreadable import Unreadable


async def read_catalogue(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> tuple[Item, ...]:
    """The items that are not withdrawn, in the order of their ids. Records that workers refuse are left out.

    Raises `DeployError` as `whole_topic`.
    """
    found: dict[bytes, Item] = {}
    async with aclosing(whole_topic(ITEMS.name, bootstrap, connection, timeout)) as records:
        async for record in records:
            _take(found, record)
    return tuple(sorted(found.values(), key=lambda item: item.id))


async def read_receipts(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> tuple[tuple[ErasureReceipt, ...], int]:
    """The receipts on the topic, and how many cannot be read: of these the user is not known. The training log may
    still have rows that their orders cover.

    Raises `DeployError` as `whole_topic`.
    """
    found, unread = [], 0
    async with aclosing(whole_topic(PRIVACY_RECEIPTS.name, bootstrap, connection, timeout)) as records:
        async for record in records:
            try:
                if isinstance(record, Unreadable):
                    unread += record.offset - record.first + 1
                else:
                    found.append(decode(ErasureReceipt, record.value))
            except Refused:
                unread += 1
    return tuple(found), unread


def _take(found: dict[bytes, Item], record: Any) -> None:
    if isinstance(record, Unreadable) or record.key is None:
        return
    if record.value is None:
        found.pop(record.key, None)
        return
    try:
        found[record.key] = decode_item(record.value, key=record.key)
    except Refused:
        return
