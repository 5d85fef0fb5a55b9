"""Topics of others feed a worker through mapping files of a few lines: it counts what it would count of the same events
in Ouzel's own format, whatever is killed."""

import asyncio
import io
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.admin import NewTopic

from deploy.kafka.topics import admin
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.codec import decode, decode_item, encode
from schemas.dead_letters import DeadLetter
from schemas.events import Event, EventKind
from schemas.recommendations import Entry, Reason, Recommendation
from schemas.topics import DEAD_LETTERS, EVENTS, ITEMS, NEIGHBOURS, RECOMMENDATIONS
from streams.settings import Settings, throwaway
from tests.support.mapping_process import MappingProcess
from tests.support.patience import until
from tests.support.plane import NOW_MS, Plane, check, counts_of
from tests.support.schema_registry import Registry, framed, schema_registry
from tests.support.topics import Sent

pytestmark = pytest.mark.parametrize(
    "own_broker", [pytest.param("embedded", marks=pytest.mark.kafka)], indirect=True, scope="function"
)

PEOPLE = 25
RATING = """{"type": "record", "name": "Rating", "namespace": "shop", "fields": [
    {"name": "customer", "type": "long"}, {"name": "film", "type": "string"}, {"name": "stars", "type": "double"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"""

ORDERS = """
[[events]]
topic = "shop.public.orders"
envelope = "debezium"
user = "customer_id"
item = "film_id"
kind = { value = "purchase" }
ts = { path = "created_at", unit = "us" }
"""
CLICKS = """
[[events]]
topic = "web-clicks"
user = "userId"
item = "payload.items[0].id"
kind = { path = "eventType", map = { productView = "view", productClick = "click", heartbeat = "skip" } }
ts = { path = "occurredAt", unit = "s" }
"""
RATINGS = """
[[events]]
topic = "ratings"
format = "avro"
user = { path = "customer", prefix = "person-" }
item = "film"
kind = { value = "rate" }
value = { path = "stars", range = [0, 10] }
ts = "at"
"""
PRODUCTS = """
[[items]]
topic = "shop.public.films"
envelope = "debezium"
key_format = "json"
id = "id"
tombstone_id = "@key.id"
title = "name"
"""


LISTS = """
[[lists]]
topic = "shop-lists"
[lists.fields]
userId = "user"
films = { each = "entries", fields = { sku = "item", why = "reason.text" } }
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


@pytest.fixture
def registry(stack: ExitStack) -> Registry:
    return stack.enter_context(schema_registry())


def events(seed: int, count: int) -> list[Event]:
    """Events of the kinds that the three topics have."""
    draw = random.Random(seed)
    kinds = (EventKind.VIEW, EventKind.CLICK, EventKind.PURCHASE, EventKind.RATE)
    made = []
    for number in range(count):
        kind = draw.choice(kinds)
        value = draw.randrange(11) / 2 if kind is EventKind.RATE else None
        user, item = f"person-{draw.randrange(PEOPLE)}", f"film-{draw.randrange(40)}"
        made.append(Event(id=str(number), user=user, kind=kind, ts=NOW_MS - 1_000 * number, item=item, value=value))
    return made


def order(event: Event, number: int) -> Sent:
    row = {"id": number, "customer_id": event.user, "film_id": event.item, "created_at": event.ts * 1_000}
    change = {"op": "c", "before": None, "after": row, "source": {"table": "orders"}, "ts_ms": event.ts + 5}
    return msgspec.json.encode({"id": number}), msgspec.json.encode({"schema": {"type": "struct"}, "payload": change})


def a_click(event: Event, number: int) -> Sent:
    kind = "productView" if event.kind is EventKind.VIEW else "productClick"
    value = {
        "userId": event.user,
        "eventType": kind,
        "occurredAt": event.ts // 1_000,
        "payload": {"items": [{"id": event.item}]},
    }
    return f"session-{number % 7}".encode(), msgspec.json.encode(value)


def a_rating(event: Event, number: int) -> Sent:
    import fastavro

    value = {
        "customer": int(event.user.removeprefix("person-")),
        "film": event.item,
        "stars": (event.value or 0.0) * 2,
        "at": event.ts,
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(msgspec.json.decode(RATING)), value)
    return None, framed(7, out.getvalue())


def records(made: Iterable[Event]) -> dict[str, list[Sent]]:
    """The same events as other systems write them, on three topics, none of them keyed by user."""
    found: dict[str, list[Sent]] = {"shop.public.orders": [], "web-clicks": [], "ratings": []}
    for number, event in enumerate(made):
        if event.kind is EventKind.PURCHASE:
            found["shop.public.orders"].append(order(event, number))
        elif event.kind is EventKind.RATE:
            found["ratings"].append(a_rating(event, number))
        else:
            found["web-clicks"].append(a_click(event, number))
    return found


async def make_topics(broker: Broker, *names: str, partitions: int = 3) -> None:
    async with admin(broker.bootstrap) as client:
        await client.create_topics([NewTopic(name, partitions, 1) for name in names])


def mapping(broker: Broker, folder: Path, stack: ExitStack, text: str, registry: Registry | None = None) -> Any:
    """Start a mapping of this file."""
    path = folder / "mapping.toml"
    path.write_text(text)
    address = {} if registry is None else {"mapping_registry": registry.address}
    settings: Settings = throwaway(
        broker.bootstrap,
        mapping=str(path),
        mapping_port=free_ports(1)[0],
        mapping_group="mapping",
        session_timeout_s=2.0,
        heartbeat_s=0.5,
        **address,
    )
    return stack.enter_context(MappingProcess(settings, folder / "mapping.log"))


LIST = Recommendation(
    id="l", user="ann", scene="home", ts=NOW_MS, trigger="e", partition=0, offset=0, freshness_ms=1.0, took_ms=1.0,
    entries=(Entry(item="film-1", score=1.0, behavioural=1.0, propensity=1.0, sources=("fresh",),
                   reason=Reason(code="fresh", text="new")),),
)  # fmt: skip
AS_JSON = {"userId": "ann", "films": [{"sku": "film-1", "why": "new"}]}


def check_mapping(broker: Broker, folder: Path, *options: str) -> str:
    """What `ouzel mapping check` prints of the file in the folder."""
    command = ["mapping", "check", str(folder / "mapping.toml"), "--brokers", broker.bootstrap, *options]
    process = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *command],
        env={**os.environ, "OUZEL_MAPPING_REGISTRY": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 1, process.stderr
    return process.stdout


def read_events(plane: Plane) -> list[Event]:
    return [decode(Event, record.value) for record in plane.read(EVENTS.name)]


def bare(event: Event) -> Event:
    return msgspec.structs.replace(event, id="")


def test_three_topics_count_as_the_same_events_in_the_own_format(
    own_broker: Broker, tmp_path: Path, stack: ExitStack, registry: Registry
) -> None:
    pytest.importorskip("fastavro", reason="fastavro is not installed")
    assert all(len(text.strip().splitlines()) < 20 for text in (ORDERS, CLICKS, RATINGS, PRODUCTS))
    registry.add(7, RATING)
    registry.broken = (503, b"")
    sent = events(1, 400)
    foreign = records(sent)
    bad = (b"k", b'{"userId":"ann","eventType":"productView","occurredAt":1600000000}')
    foreign["web-clicks"] += [bad, (b"k", b'{"eventType":"heartbeat"}'), (b"k", None)]
    films = [
        (b'{"id":1}', {"op": "c", "after": {"id": 1, "name": "Fargo"}}),
        (b'{"id":2}', {"op": "r", "after": {"id": 2, "name": "Heat"}}),
        (b'{"id":1}', {"op": "d", "before": None}),
        (b'{"id":1}', None),
    ]
    with Plane(own_broker, tmp_path, batch_max_events=100) as plane:
        asyncio.run(make_topics(own_broker, "shop.public.orders", "web-clicks", "ratings", "shop-lists"))
        plane.send([(b"ann", encode(LIST))], RECOMMENDATIONS.name)
        process = mapping(own_broker, tmp_path, stack, ORDERS + CLICKS + RATINGS + PRODUCTS + LISTS, registry)
        worker = plane.start()
        for topic, given in foreign.items():
            plane.send(given, topic)
        # A topic that does not exist yet, and a registry that is away, are told; nothing is lost meanwhile.
        until(lambda: "shop.public.films of the mapping file does not exist yet" in process.page("/readyz"))
        until(lambda: "answered with 503" in process.page("/readyz"))
        registry.broken = None
        asyncio.run(make_topics(own_broker, "shop.public.films", partitions=1))
        plane.send([(key, value and msgspec.json.encode(value)) for key, value in films], "shop.public.films")
        worker.until_metric("ouzel_events_total", len(sent))
        until(lambda: process.page("/readyz") == "ready\n", process.page("/readyz"))
        until(lambda: process.metric("ouzel_mapped_records_total") == len(sent) + 3 + len(films) + 1)
        # The same counts as of the events in Ouzel's own format: by kind, and by item in the item graph.
        for kind, count in Counter(each.kind for each in sent).items():
            assert worker.metric(f'ouzel_events_total{{kind="{kind}"}}') == count
        seen = Counter(each.item for each in sent)
        plane.wait(lambda: counts_of(plane.read(NEIGHBOURS.name)) == seen, "every event counted once")
        written = plane.read(EVENTS.name)
        assert Counter(bare(decode(Event, each.value)) for each in written) == Counter(map(bare, sent))
        places = {(each.key, each.partition) for each in written}
        assert len(places) == len({key for key, _ in places}), "a user's events are in one partition"
        items = [
            (each.key, each.value and decode_item(each.value, key=each.key).title) for each in plane.read(ITEMS.name)
        ]
        assert [title for key, title in items if key == b"1"] == ["Fargo", None, None]
        assert [title for key, title in items if key == b"2"] == ["Heat"]
        (letter,) = [decode(DeadLetter, each.value) for each in plane.read(DEAD_LETTERS.name)]
        assert (letter.topic, letter.key, letter.value) == ("web-clicks", *bad)
        assert letter.detail.endswith("- at `payload.items[0].id`")
        (given,) = plane.read("shop-lists")
        assert (given.key, msgspec.json.decode(given.value)) == (b"ann", AS_JSON)
        tried = check_mapping(own_broker, tmp_path, "--topic", "web-clicks")
        assert f"{len(foreign['web-clicks'])} records: " in tried
        assert " 2 skipped, 1 rejected\n" in tried
        outcomes = {each: process.metric(f'ouzel_mapped_records_total{{outcome="{each}",topic="web-clicks"}}')
                    for each in ("mapped", "skipped", "rejected")}  # fmt: skip
        assert outcomes == {"mapped": len(foreign["web-clicks"]) - 3, "skipped": 2, "rejected": 1}
        assert process.stop(grace=30.0) == 0, process.tail(30)
        assert registry.requests.count("/schemas/ids/7") < 40


def test_killed_mapping_loses_no_event_and_repeats_none(own_broker: Broker, tmp_path: Path, stack: ExitStack) -> None:
    """kill -9 in mid-stream, twice: the fold counts each record once."""
    sent = [each for each in events(2, 4_000) if each.kind in (EventKind.VIEW, EventKind.CLICK)]
    clicks = [a_click(each, number) for number, each in enumerate(sent)]
    draw, middles = random.Random(5), 0
    with Plane(own_broker, tmp_path, batch_max_events=100) as plane:
        asyncio.run(make_topics(own_broker, "web-clicks"))
        plane.start()
        plane.send(clicks, "web-clicks")
        for _ in range(2):
            process = mapping(own_broker, tmp_path, stack, CLICKS)
            before = len(plane.read(EVENTS.name))
            plane.follow(EVENTS.name, min(len(sent), before + draw.randrange(100, 700)))
            process.kill()
            middles += len({each.id for each in read_events(plane)}) < len(sent)
        process = mapping(own_broker, tmp_path, stack, CLICKS)
        plane.wait(lambda: len({each.id for each in read_events(plane)}) == len(sent), "every record mapped")
        expected = Counter(map(bare, sent))
        check(plane)
        accepted = plane.expected().accepted.values()
        assert Counter(map(bare, accepted)) == expected, "each record is folded once"
        assert process.stop(grace=30.0) == 0, process.tail(30)
    assert middles, "the kills did not hit the middle of the stream: send more"
