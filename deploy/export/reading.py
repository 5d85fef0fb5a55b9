"""Read from Kafka what an export of lists needs, each topic from its start to its end."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deploy.export.current_lists import CurrentLists
from deploy.export.erased_users import ErasedUsers
from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS
from deploy.kafka.whole_topic import whole_topic
from schemas.codec import decode_item
from schemas.errors import Refused
from schemas.topics import ITEMS, PRIVACY, PRIVACY_RECEIPTS, RECOMMENDATIONS, Topic
from streams.unreadable import Unreadable

CLIENT = "ouzel-export"


@dataclass(frozen=True)
class Read:
    """The current lists, the titles of the catalogue by item, and who was erased."""

    lists: CurrentLists
    titles: Mapping[str, str]
    erased: ErasedUsers


async def read_lists(
    bootstrap: str,
    connection: Mapping[str, Any] = PLAIN,
    timeout: float = TIMEOUT_SECONDS,
    *,
    scene: str | None = None,
) -> Read:
    """The lists of `scene`, or of all, and what is needed to export them. Raises `DeployError` as `whole_topic`."""
    lists, erased = CurrentLists(scene), ErasedUsers()
    titles: dict[bytes, str] = {}

    async def read(topic: Topic, take: Callable[[Any], None]) -> None:
        async with aclosing(whole_topic(topic.name, bootstrap, connection, timeout, client=CLIENT)) as records:
            async for record in records:
                take(record)

    await read(RECOMMENDATIONS, lists.take)
    await read(ITEMS, lambda record: take_title(titles, record))
    # Last, so that users who are erased meanwhile are left out. Orders before receipts: one that is carried out between
    # the two has its receipt.
    await read(PRIVACY, erased.order)
    await read(PRIVACY_RECEIPTS, erased.receipt)
    return Read(lists, {item.decode(): title for item, title in titles.items()}, erased)


def take_title(titles: dict[bytes, str], record: Any) -> None:
    """Note the title of a record of `ouzel.items`. A withdrawn item has none; one that workers refuse changes
    nothing."""
    if isinstance(record, Unreadable) or record.key is None:
        return
    if record.value is None:
        titles.pop(record.key, None)
        return
    try:
        titles[record.key] = decode_item(record.value, key=record.key).title
    except Refused:
        return
