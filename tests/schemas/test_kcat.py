"""The commands of docs/reference/contract.md, verbatim, on Apache Kafka.

Not on the embedded broker: librdkafka 2.0.2 in Debian's kcat cannot parse its response to the first request.
"""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.kafka import topics as broker_topics
from deploy.local.brokers import Broker
from schemas import topics
from schemas.codec import decode_event, decode_item, encode
from tests.schemas.examples import EXAMPLES
from tests.support import parts
from tests.support.patience import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "contract.md").read_text()
SEND_EVENT, SEND_ITEM, READ_LISTS, READ_DEAD = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
AFTER_NOW_MS = 2**53

pytestmark = [pytest.mark.kafka, pytest.mark.parametrize("broker", ["kafka"], indirect=True, scope="module")]


@pytest.fixture(scope="module")
def bootstrap(broker: Broker) -> str:
    parts.need_kcat()
    asyncio.run(broker_topics.create(broker.bootstrap, events_partitions=2, items_partitions=2))
    return broker.bootstrap


def run(command: str, bootstrap: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = "set -o pipefail; " + command.replace("127.0.0.1:9092", bootstrap)
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def records(bootstrap: str, topic: str, count: int) -> list[tuple[bytes | None, bytes | None]]:
    """The first `count` keys and values of a topic, in the order of each partition."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(PATIENCE):
            return [(record.key, record.value) for record in [await consumer.getone() for _ in range(count)]]


def test_event_sent_with_kcat_is_accepted(bootstrap):
    run(SEND_EVENT, bootstrap)
    [(key, value)] = asyncio.run(records(bootstrap, topics.EVENTS.name, 1))
    event = decode_event(value, key=key, now_ms=AFTER_NOW_MS)
    assert (event.user, event.item) == ("ann", "alien")


def test_item_sent_with_kcat_is_accepted_and_then_withdrawn(bootstrap):
    run(SEND_ITEM, bootstrap)
    [(key, value), withdrawal] = asyncio.run(records(bootstrap, topics.ITEMS.name, 2))
    assert decode_item(value, key=key).title == "Alien"
    assert withdrawal == (b"alien", None)


def test_published_lists_are_read_with_kcat(bootstrap):
    made = EXAMPLES["recommendation.full"]

    async def publish() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            await producer.send_and_wait(topics.RECOMMENDATIONS.name, encode(made), key=b"ann")

    asyncio.run(publish())
    [line] = run(READ_LISTS, bootstrap).splitlines()
    assert json.loads(line)["entries"][0]["item"] == "brazil"


def test_published_dead_letters_are_read(bootstrap):
    made: Any = EXAMPLES["dead_letter.full"]

    async def publish() -> None:
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
            await producer.send_and_wait(topics.DEAD_LETTERS.name, encode(made), key=made.key)

    asyncio.run(publish())
    [line] = run(READ_DEAD, bootstrap).splitlines()
    value = json.loads(line)["value"]
    assert value["code"] == made.code
    assert base64.b64decode(value["value"]) == made.value
