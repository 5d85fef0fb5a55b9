"""A periodic survey of the worker's topics, and of its rights on them.

It uses a separate client, recreated after each failure: so it finds the brokers through any address of `OUZEL_BROKERS`,
even if all brokers that it knew have moved.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, NodeNotReadyError

from streams.clock import Clock
from streams.health.broker_requests import NO_ID, UNKNOWN_OPERATIONS, AskGroup, AskTopics
from streams.health.conditions import Condition, Survey, TopicFacts

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""Between two surveys."""

ANSWER_SECONDS = 10.0
"""Maximum time of a survey."""

AWAY_SECONDS = 5.0
"""How long brokers may fail to answer before it is reported: a restart is no condition yet."""


class Surveyor:
    """Surveys `topics` and `group`. `options` are those of an aiokafka client; `tell` is called with each new survey,
    and `failed` after each failed one."""

    def __init__(
        self,
        options: Callable[[], dict[str, Any]],
        topics: Iterable[str],
        group: str,
        *,
        clock: Clock,
        tell: Callable[[Survey], object],
        unreached: Callable[[list[Condition]], object],
        failed: Callable[[], object] = lambda: None,
    ) -> None:
        self._options = options
        self._topics = list(topics)
        self._group = group
        self._clock = clock
        self._tell = tell
        self._unreached = unreached
        self._failed = failed
        self._client: AIOKafkaClient | None = None
        self._looking = asyncio.Lock()
        self._latest = Survey()
        self._began = float("-inf")
        self._answered: float | None = None

    async def run(self) -> None:
        """Survey until cancelled."""
        self._answered = self._clock.monotonic()
        try:
            while True:
                with contextlib.suppress(KafkaError):
                    await self.fresh()
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            await self._close()

    async def fresh(self) -> Survey:
        """A survey begun now. Raises `KafkaError` if no broker answers in time."""
        asked = self._clock.monotonic()
        async with self._looking:
            if self._began >= asked:
                return self._latest  # a survey that began after the call
            began = self._clock.monotonic()
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    survey = await self._look()
            except (KafkaError, OSError, TimeoutError, ValueError, AssertionError) as error:
                await self._close()
                self._failed()
                self._say_unreached(error)
                raise error if isinstance(error, KafkaError) else NodeNotReadyError(type(error).__name__) from error
            self._began, self._latest = began, survey
            self._answered = self._clock.monotonic()
            self._unreached([])
            self._tell(survey)
            return survey

    def _say_unreached(self, error: Exception) -> None:
        now = self._clock.monotonic()
        if self._answered is None:
            self._answered = now
        if now - self._answered >= AWAY_SECONDS:
            servers = ", ".join(self._options()["bootstrap_servers"])
            detail = str(error) if isinstance(error, NodeNotReadyError) and str(error) else ""
            text = detail or f"No broker answers at {servers}: check that they run, OUZEL_BROKERS and the login."
            self._unreached([Condition("brokers", "", text)])

    async def _look(self) -> Survey:
        if self._client is None:
            options = {**self._options(), "request_timeout_ms": int(ANSWER_SECONDS * 1000)}
            self._client = AIOKafkaClient(**options)
            await self._client.bootstrap()
        client = self._client
        node = await self._node(client)
        topics = facts_of(await client.send(node, AskTopics(self._topics)))
        error, operations = await self._ask_group(client)
        return Survey(topics, error, operations)

    async def _node(self, client: AIOKafkaClient) -> int:
        brokers = client.cluster.brokers()
        for broker in brokers:
            if await client.ready(broker.nodeId):
                return int(broker.nodeId)
        advertised = ", ".join(f"{broker.host}:{broker.port}" for broker in brokers)
        raise NodeNotReadyError(
            f"The brokers at {', '.join(self._options()['bootstrap_servers'])} give {advertised} as their address, "
            "where none answers: check that they run and their advertised.listeners."
        )

    async def _ask_group(self, client: AIOKafkaClient) -> tuple[int, int | None]:
        try:
            node = await client.coordinator_lookup(CoordinationType.GROUP, self._group)
            reply = await client.send(node, AskGroup(self._group))
        except GroupAuthorizationFailedError as error:
            return error.errno, None
        except (KafkaError, NotImplementedError):
            return 0, None  # no coordinator yet, or an older broker: unknown
        return next(((each[0], _operations(each[-1])) for each in reply.groups), (0, None))

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1.0):
                    await client.close()


def facts_of(reply: Any) -> dict[str, TopicFacts]:
    """The topics of a reply to `AskTopics`, by name."""
    found = {}
    for topic in reply.topics:
        whole = len(topic) > 4
        error, name = topic[:2]
        partitions = topic[4] if whole else topic[3]
        found[name] = TopicFacts(
            error=error,
            id=topic[2] if whole and topic[2] != NO_ID else b"",
            partitions=len(partitions),
            leaderless=tuple(sorted(each[1] for each in partitions if each[2] < 0)),
            operations=_operations(topic[5]) if whole else None,
        )
    return found


def _operations(found: int) -> int | None:
    return None if found in (UNKNOWN_OPERATIONS, -1) else found
