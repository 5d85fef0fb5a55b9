"""The consumer group of the workers, as its broker sees it."""

import asyncio
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

LOOK_SECONDS = 0.2


class Group:
    """Looks at one group. Use it as an asynchronous context manager."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        self._name = name

    async def __aenter__(self) -> Self:
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._admin.close()

    async def stable(self, members: int) -> bool:
        """Whether the group has this many members, each with its share of the partitions. A worker that was killed is a
        member until its session expires, even one that was killed while it joined."""
        try:
            (answer,) = await self._admin.describe_consumer_groups([self._name])
        except (KafkaError, OSError):
            return False
        (found,) = answer.to_object()["groups"]
        return bool(found["state"] == "Stable" and len(found["members"]) == members)

    async def until_stable(self, members: int) -> None:
        """Return once it is."""
        while not await self.stable(members):  # noqa: ASYNC110 - a broker tells of no changes
            await asyncio.sleep(LOOK_SECONDS)
