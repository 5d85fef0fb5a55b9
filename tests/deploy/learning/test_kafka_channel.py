"""The learner's topics on real brokers."""

import asyncio
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaProducer

from deploy.kafka import topics
from deploy.learning.kafka_channel import KafkaChannel, open_channel
from deploy.local.brokers import Broker
from inference.versions.rules import Rules
from inference.versions.state import Known, State
from inference.versions.store import Verdict
from schemas.codec import encode
from schemas.models import Comparison, ModelAck, ModelStatus, Role
from schemas.topics import COMPARISONS, MODEL_ACKS, MODELS
from streams.clock import SYSTEM
from tests.support.patience import PATIENCE

RULES = Rules()


def status(version: str, role: Role, number: int) -> ModelStatus:
    return ModelStatus(model="scorer", version=version, role=role, ts=SYSTEM.now_ms(), number=number)


def compared(number: int) -> bytes:
    return encode(
        Comparison(
            id=str(number), list="l", scene="s", ts=1, champion="a", challenger="b", champion_hit=True,
            challenger_hit=False,
        )
    )  # fmt: skip


async def followed(channel: KafkaChannel, state: State, count: int) -> None:
    """Follow until the test of the state has this many pairs."""
    async with asyncio.timeout(PATIENCE):
        async for _ in channel.follow(state, RULES):
            if state.test is not None and state.test.judge(RULES).pairs >= count:
                return


async def test_learner_that_starts_again_has_the_same_roles_and_comparisons(strong_broker: Broker) -> None:
    await topics.create(strong_broker.bootstrap)
    async with AIOKafkaProducer(bootstrap_servers=strong_broker.bootstrap) as producer:
        async with open_channel(strong_broker.bootstrap) as channel:
            state = State()
            await channel.publish(status("a", Role.CHAMPION, 1))
            offset = await channel.publish(status("b", Role.SHADOW, 2))
            await producer.send_and_wait(MODELS.name, b"no record", key=b"x")
            ack = ModelAck(worker="w", behind=offset + 1, ts=SYSTEM.now_ms(), champion="a", challenger="b")
            await producer.send_and_wait(MODEL_ACKS.name, encode(ack), key=b"w")
            await channel.catch_up(state, RULES)
            assert (state.lineup.champion.version, state.lineup.challenger.version) == ("a", "b")  # type: ignore[union-attr]
            assert channel.refused == 1
            assert state.followed(RULES, SYSTEM.now_ms()) is (ack.behind >= state.end)
            await producer.send_and_wait(MODEL_ACKS.name, encode(ack), key=b"gone")
            await producer.send_and_wait(MODEL_ACKS.name, None, key=b"w")
            await channel.catch_up(state, RULES)
            assert state.acks == {}
            for number in range(5):  # before the stage began
                await producer.send_and_wait(COMPARISONS.name, compared(number), key=b"l")
            await asyncio.sleep(0.01)  # the next millisecond
            began = SYSTEM.now_ms()
            shadow = Verdict(ts=began, event="shadow", reason="compared by 1 workers")
            state.versions[2] = Known(verdicts=(shadow,))
            for number in range(5, 12):
                await producer.send_and_wait(COMPARISONS.name, compared(number), key=b"l")
            await followed(channel, state, 7)
        again = State()
        async with open_channel(strong_broker.bootstrap) as channel:
            await channel.catch_up(again, RULES)
            again.versions[2] = Known(verdicts=(shadow,))
            await channel.compared_since(again.stage_began())
            await channel.catch_up_comparisons(again, RULES)
        assert again.test == state.test
        assert (again.lineup, again.end) == (state.lineup, state.end)
        assert msgspec.json.encode(again.acks) == msgspec.json.encode(state.acks)


async def test_new_learner_reads_only_new_comparisons(strong_broker: Broker) -> None:
    await topics.create(strong_broker.bootstrap)
    async with (
        AIOKafkaProducer(bootstrap_servers=strong_broker.bootstrap) as producer,
        open_channel(strong_broker.bootstrap) as before,
    ):
        await producer.send_and_wait(COMPARISONS.name, compared(1), key=b"l")
        async with open_channel(strong_broker.bootstrap) as channel:
            state, seen = State(), []
            await producer.send_and_wait(COMPARISONS.name, compared(2), key=b"l")
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    async for batch in channel.follow(state, RULES):
                        seen += [each.id for each in batch]
                        if seen:
                            break
        assert seen == ["2"]
        assert state.ignored == 1, "no version is compared"
        assert before.refused == 0
