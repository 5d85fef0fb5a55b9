"""The agents on Faust's standard path: refused items, and erasure orders."""

from collections.abc import Awaitable, Callable
from typing import Any

import faust

from schemas.dead_letters import DeadLetter
from schemas.topics import ITEMS, PRIVACY
from streams.agents.erasure_orders import forward
from streams.agents.items import refused
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.turns import Turns
from streams.unreadable import original

TAKE = 2_000
"""Maximum records that an agent takes at once."""

# Names as well: a value that Faust cannot decode would end the agent without a word.
RAW: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


def add_agents(
    app: faust.App,
    *,
    clock: Clock,
    turns: Turns,
    letters: Callable[[list[DeadLetter]], list[Output]],
    publish: Callable[[list[Output], str], Awaitable[None]],
) -> None:
    """Add both agents. `letters` counts dead letters and encodes them; `publish` retries until it succeeds."""

    async def refuse(stream: Any) -> None:
        async for events in stream.take_events(TAKE, within=1.0):
            found: list[DeadLetter] = []
            for event in events:
                await turns.next()
                found += refused([original(event.message)], clock.now_ms())
            await publish(letters(found), "Refused items")

    async def order(stream: Any) -> None:
        async for events in stream.take_events(TAKE, within=0.1):
            sent: list[Output] = []
            for event in events:
                await turns.next()
                erasures, dead = forward([original(event.message)], clock.now_ms())
                sent += [*erasures, *letters(dead)]
            await publish(sent, "Erasure orders")

    app.agent(app.topic(ITEMS.name, **RAW), name="refuse-items")(refuse)
    app.agent(app.topic(PRIVACY.name, **RAW), name="order-erasures")(order)
