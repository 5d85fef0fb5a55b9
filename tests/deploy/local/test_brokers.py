"""Both brokers start, take the contract's topics, and come back after a crash."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import MissingPart
from deploy.kafka import topics
from deploy.kafka.topics import TopicState
from deploy.local.brokers import Broker, find_kafka
from schemas.topics import ALL, EVENTS, MODELS, NEIGHBOURS, PRIVACY


def test_topics_are_made_once_as_the_contract_says(broker: Broker) -> None:
    async def twice() -> tuple[list[str], list[str]]:
        arguments: dict[str, Any] = {"events_partitions": 3, "items_partitions": 2}
        first = await topics.create(broker.bootstrap, **arguments)
        return first, await topics.create(broker.bootstrap, **arguments)

    assert all(state.partitions == 0 for state in asyncio.run(topics.describe(broker.bootstrap)))
    first, second = asyncio.run(twice())
    assert sorted(first) == sorted(topic.name for topic in ALL)
    assert second == []
    states = {state.name: state for state in asyncio.run(topics.describe(broker.bootstrap))}
    wanted = {topic: "compact" if topic.compacted else "delete" for topic in ALL} | {PRIVACY: "compact,delete"}
    assert {topic: states[topic.name].policy for topic in ALL} == wanted
    partitions = {t: states[t.name].partitions for t in (EVENTS, NEIGHBOURS, MODELS)}
    assert partitions == {EVENTS: 3, NEIGHBOURS: 2, MODELS: 1}


@pytest.mark.parametrize(
    ("state", "complaint"),
    [
        (
            TopicState("ouzel.events", 3, "delete", False),
            r"has 3 partitions, but 4 were requested\. .*--events-partitions 3",
        ),
        (
            TopicState("ouzel.items", 5, "compact", False),
            r"has 5 partitions, but 4 were requested\. .*--items-partitions 5",
        ),
        (TopicState("ouzel.events", 4, "compact", False), r"cleanup\.policy=compact but needs delete"),
        (TopicState("ouzel.neighbours", 4, "delete", True), r"cleanup\.policy=delete but needs compact"),
    ],
)
def test_topics_that_differ_are_named_with_the_next_step(state: TopicState, complaint: str) -> None:
    (said,) = topics.differences([state], 4, 4)
    assert re.search(complaint, said)


@pytest.mark.parametrize(
    "state",
    [
        TopicState("ouzel.events", 0, "", False),
        TopicState("ouzel.events", 4, "delete", False),
        TopicState("ouzel.privacy", 4, "compact,delete", False),
        TopicState("ouzel.recommendations", 9, "delete", False),
    ],
)
def test_topics_that_do_not_differ_are_used(state: TopicState) -> None:
    assert topics.differences([state], 4, 4) == []


def test_advice_after_added_partitions_leads_to_topics_without_advice() -> None:
    """Following the advice leads to topics that need no advice."""
    counts = dict.fromkeys([topic.name for topic in ALL], 4) | {"ouzel.events": 6, "ouzel.covisits": 5}
    events = 4
    for _ in range(5):
        said = topics.differences([TopicState(name, count, "", False) for name, count in counts.items()], events, 4)
        if not said:
            break
        for sentence in said:
            assert "delete" not in sentence
            option = re.search(r"--events-partitions (\d+)", sentence)
            events = int(option[1]) if option else events
            for name, count in re.findall(r"--topic (\S+) --partitions (\d+)", sentence):
                assert int(count) > counts[name]
                counts[name] = int(count)
    assert (said, events, counts["ouzel.contexts"], counts["ouzel.neighbours"]) == ([], 6, 6, 5)


def test_killed_broker_restarts_on_its_address(own_broker: Broker) -> None:
    address, pid = own_broker.bootstrap, own_broker.pid
    asyncio.run(topics.create(address))
    own_broker.kill()
    assert not own_broker.running()
    own_broker.start()
    assert own_broker.bootstrap == address
    assert own_broker.pid != pid
    kept = [state.partitions > 0 for state in asyncio.run(topics.describe(address))]
    assert all(kept) if own_broker.keeps_data else not any(kept)


def test_folder_without_kafka_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(MissingPart, match=f"looked in {tmp_path}.*Set KAFKA_HOME"):
        find_kafka()
