"""The brokers' answers about topics and rights, on both kinds of broker, and the condition if none answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from deploy.kafka.topics import admin, create
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.topics import EVENTS, ITEMS
from streams.clock import SYSTEM, Clock
from streams.health.conditions import Condition, Survey, TopicFacts
from streams.health.survey import AWAY_SECONDS, Surveyor, facts_of
from tests.support.patience import PATIENCE


def surveyor(
    address: str,
    told: list[Survey],
    unreached: list[list[Condition]],
    monotonic: Callable[[], float] = SYSTEM.monotonic,
) -> Surveyor:
    return Surveyor(
        lambda: {"bootstrap_servers": [address]},
        [EVENTS.name, ITEMS.name],
        "a user",
        clock=Clock(SYSTEM.now_ms, monotonic),
        tell=told.append,
        unreached=unreached.append,
    )


async def test_survey_counts_partitions_and_detects_a_recreated_topic(own_broker: Broker) -> None:
    told: list[Survey] = []
    look = surveyor(own_broker.bootstrap, told, [])
    missing = await look.fresh()
    assert missing.topics[EVENTS.name].error == 3
    assert missing.partitions(EVENTS.name) is None
    await create(own_broker.bootstrap, events_partitions=3)
    before = await seen(look, b"")
    assert before.partitions(EVENTS.name) == 3
    assert len(before.id_of(EVENTS.name)) == 16
    async with admin(own_broker.bootstrap) as client:
        await client.delete_topics([EVENTS.name])
    async with asyncio.timeout(PATIENCE):
        while EVENTS.name not in await made(own_broker.bootstrap):  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0.2)
    after = await seen(look, before.id_of(EVENTS.name))
    assert after.id_of(ITEMS.name) == before.id_of(ITEMS.name)
    assert [told[0], told[-1]] == [missing, after]
    await look._close()


async def seen(look: Surveyor, other: bytes) -> Survey:
    """The survey once all brokers know the events' topic, with an id other than this."""
    async with asyncio.timeout(PATIENCE):
        survey = await look.fresh()
        while survey.id_of(EVENTS.name) in (b"", other) or not survey.partitions(ITEMS.name):
            await asyncio.sleep(0.1)
            survey = await look.fresh()
    return survey


async def made(bootstrap: str) -> list[str]:
    try:
        return await create(bootstrap, events_partitions=3)
    except Exception:  # the broker takes a moment to release a name
        return []


async def test_unreachable_brokers_become_a_condition_after_a_while() -> None:
    times = iter((0.0, 0.0, 0.0, AWAY_SECONDS - 0.1, AWAY_SECONDS - 0.1, AWAY_SECONDS - 0.1, *[AWAY_SECONDS] * 3))
    unreached: list[list[Condition]] = []
    look = surveyor(f"127.0.0.1:{free_ports(1)[0]}", [], unreached, lambda: next(times))
    for _ in range(3):
        with pytest.raises(KafkaError):
            await look.fresh()
    ((condition,),) = unreached
    assert (condition.cause, condition.topic) == ("brokers", "")
    assert "No broker answers at 127.0.0.1:" in condition.text
    assert "OUZEL_BROKERS" in condition.text


class Reply:
    def __init__(self, *topics: Any) -> None:
        self.topics = topics


def test_older_broker_answers_without_ids_and_rights() -> None:
    partitions: list[tuple[Any, ...]] = [(0, 0, 1, [1], [1], []), (0, 1, -1, [2], [], [])]
    assert facts_of(Reply((0, "ouzel.events", False, partitions))) == {
        "ouzel.events": TopicFacts(partitions=2, leaderless=(1,))
    }
