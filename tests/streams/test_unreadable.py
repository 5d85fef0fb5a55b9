"""A worker reads whatever other programs write, on real brokers: every codec, transactions, records of
any size, damage on the broker's disk. No partition stalls, and each unreadable record has one dead letter."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka.topics import partitions_of, settings
from deploy.local.brokers import Broker
from schemas.codec import encode
from schemas.errors import Refusal
from schemas.items import Item
from schemas.topics import (
    ALL,
    CONTEXTS,
    COVISITS,
    DEAD_LETTERS,
    EVENTS,
    FEEDBACK,
    ITEMS,
    NEIGHBOURS,
    PRIVACY,
    RECOMMENDATIONS,
)
from streams.clock import SYSTEM
from tests.conftest import start_broker
from tests.support.plane import Plane, check, like, person, traffic
from tests.support.topics import Sent

CODECS = ("gzip", "snappy", "lz4", "zstd")

WITHOUT_CODECS = [
    sys.executable,
    "-c",
    "import sys; sys.modules['cramjam'] = None; from streams.worker import run; sys.exit(run())",
]
"""A worker on a machine where the library is not installed."""


@pytest.fixture(params=[pytest.param("kafka", marks=pytest.mark.kafka)])
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka: the embedded broker knows no transactions, no topic's own limits, and keeps nothing on disk."""
    with start_broker(request.param, tmp_path_factory) as running:
        yield running


def film(name: str) -> Sent:
    return name.encode(), encode(Item(id=name, title=name))


async def send(bootstrap: str, topic: str, records: list[Sent], **options: object) -> None:
    options = {"max_request_size": 20_000_000, "linger_ms": 50, **options}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **options)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, value, key=key) for key, value in records])
    finally:
        await producer.stop()


async def topics_with(bootstrap: str, more: Mapping[str, Mapping[str, str]]) -> None:
    """Make topics that have settings beyond those of the contract, by name; the rest is for `Plane`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        of = {topic.name: topic for topic in ALL}
        await admin.create_topics(
            [
                NewTopic(name, partitions_of(of[name], 4, 4), 1, topic_configs={**settings(of[name]), **config})
                for name, config in more.items()
            ]
        )
    finally:
        await admin.close()


def lag_is_gone(plane: Plane) -> bool:
    return plane.series("ouzel_lag_records") == [0.0] * 4


def test_records_of_every_codec_are_read_on_every_topic(own_broker: Broker, tmp_path: Path) -> None:
    with Plane(own_broker, tmp_path) as plane:
        for at, codec in enumerate(CODECS):
            records = [like(number, f"{codec}-{number}") for number in range(10 * at, 10 * at + 10)]
            asyncio.run(send(plane.bootstrap, EVENTS.name, records, compression_type=codec))
            asyncio.run(send(plane.bootstrap, ITEMS.name, [film(f"{codec}-film")], compression_type=codec))
        plane.start()
        check(plane)
        assert len(plane.held()) == 40
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [4.0], "an item of each codec")
        assert plane.letters() == []


def test_topics_that_compress_by_themselves(kafka: Broker, tmp_path: Path) -> None:
    """The changelog too: a worker that comes back without its disk recovers from it."""
    asyncio.run(topics_with(kafka.bootstrap, {topic.name: {"compression.type": "lz4"} for topic in ALL}))
    with Plane(kafka, tmp_path) as plane:
        plane.send(traffic(3, 300))
        plane.start()
        check(plane)
        assert plane.stop() == 0
        plane.lose_state()
        plane.start()
        plane.send(traffic(4, 100))
        check(plane)


def test_missing_codec_is_logged_and_nothing_is_skipped(kafka: Broker, tmp_path: Path) -> None:
    with Plane(kafka, tmp_path) as plane:
        asyncio.run(send(plane.bootstrap, EVENTS.name, [like(1, "a")], compression_type="zstd"))
        asyncio.run(send(plane.bootstrap, ITEMS.name, [film("b")], compression_type="snappy"))
        plane.start(command=WITHOUT_CODECS)
        log = tmp_path / "a.log"
        plane.wait(lambda: "compressed with zstd" in log.read_text(), "a log line about the codec of events")
        plane.wait(lambda: "compressed with snappy" in log.read_text(), "a line about the codec of items")
        text = log.read_text()
        assert "ouzel.events partition" in text
        assert "offset 0" in text
        assert "pip install cramjam" in text
        assert "Traceback" not in text
        plane.kill()
        plane.start()
        check(plane)
        assert len(plane.held()) == 1
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [1.0], "the item")
        assert plane.letters() == []


async def transactions(bootstrap: str) -> None:
    """8 events committed, 12 aborted; one item withdrawn in a transaction that is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="tests")
    await producer.start()
    try:
        for kind, count in (("committed", 8), ("aborted", 12)):
            await producer.begin_transaction()
            for number in range(count):
                key, value = like(number, f"{kind}-{number}", item=f"{kind}-film")
                await producer.send_and_wait(EVENTS.name, value, key=key)
            await producer.send_and_wait(ITEMS.name, film(kind)[1], key=kind.encode())
            await (producer.commit_transaction() if kind == "committed" else producer.abort_transaction())
    finally:
        await producer.stop()


def test_aborted_transactions_are_not_folded_and_markers_are_no_lag(kafka: Broker, tmp_path: Path) -> None:
    with Plane(kafka, tmp_path, commit_interval_s=0.2) as plane:
        asyncio.run(transactions(plane.bootstrap))
        plane.start()
        check(plane)
        assert len(plane.held()) == 8
        plane.workers["a"].wait_ready()  # though the topics end with markers
        assert plane.series("ouzel_catalogue_items") == [1.0]
        plane.wait(lambda: lag_is_gone(plane), "no lag behind the markers")
        asyncio.run(transactions(plane.bootstrap))  # while it runs
        asyncio.run(send(plane.bootstrap, EVENTS.name, [like(50, "later")]))
        check(plane)
        assert len(plane.held()) == 9
        plane.wait(lambda: lag_is_gone(plane), "no lag behind the markers of later transactions")
        assert plane.stop() == 0
        assert plane.letters() == []
        ends = asyncio.run(_ends(plane.bootstrap))
        assert plane.committed() == {partition: end for partition, end in ends.items() if end}


async def _ends(bootstrap: str) -> dict[int, int]:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(EVENTS.name, partition) for partition in range(4)])
    finally:
        await consumer.stop()
    return {tp.partition: end for tp, end in ends.items()}


LARGE = {"max.message.bytes": "10485760"}


@pytest.mark.parametrize("letters", [{}, {"max.message.bytes": "2000"}], ids=["ours", "small"])
def test_records_of_any_size_on_every_topic(kafka: Broker, tmp_path: Path, letters: dict[str, str]) -> None:
    topics = {topic.name: LARGE for topic in (EVENTS, ITEMS, COVISITS, NEIGHBOURS, PRIVACY)}
    asyncio.run(topics_with(kafka.bootstrap, {**topics, DEAD_LETTERS.name: {**letters}} if letters else topics))
    huge, large = b"z" * 3_000_000, b"z" * 600_000
    with Plane(kafka, tmp_path) as plane:
        sent: list[tuple[bytes | None, bytes | None]] = [
            (b"huge", huge),
            (b"k" * 3_000_000, b"{}"),
            (b"large", large),
            (b"k" * 1_200_000, large),
            (b"\xff" * 300, b"{}"),
        ]
        for topic in topics:
            asyncio.run(send(plane.bootstrap, topic, sent))
        plane.send([like(number, f"after-{number}") for number in range(40)])
        plane.start()
        plane.wait(lambda: len(plane.letters()) >= len(topics) * len(sent), "a dead letter for each")
        plane.wait(lambda: len(plane.held()) == 40, "the events behind them")
        found = plane.letters()
        assert (
            len({(each.topic, each.partition, each.offset) for each in found}) == len(found) == len(topics) * len(sent)
        )
        cut = [each for each in found if "left out" in each.detail]
        assert {each.topic for each in cut} == set(topics)
        assert all(each.code is Refusal.TOO_LARGE for each in found if "3000000 bytes" in each.detail)
        assert len([each for each in cut if "value of 3000000 bytes" in each.detail]) == len(topics)
        assert len([each for each in cut if "key of 3000000 bytes" in each.detail]) == len(topics)
        assert all(each.value is None for each in found if "value of" in each.detail)
        plane.wait(lambda: lag_is_gone(plane), "no lag")
        assert "starting over" not in (tmp_path / "a.log").read_text()


def test_lists_and_contexts_too_large_for_their_topics_are_reported(kafka: Broker, tmp_path: Path) -> None:
    small = {"max.message.bytes": "300"}
    asyncio.run(topics_with(kafka.bootstrap, {RECOMMENDATIONS.name: small, CONTEXTS.name: small, FEEDBACK.name: small}))
    with Plane(kafka, tmp_path) as plane:
        plane.send([film(f"film-{number}") for number in range(30)], ITEMS.name)
        now = SYSTEM.now_ms()
        plane.send([like(1, f"{number}", f"film-{number}", now) for number in range(20)])
        plane.send([like(2, "small", "film-1")])
        plane.start()
        for topic in (RECOMMENDATIONS, CONTEXTS):
            series = f'ouzel_oversized_records_total{{topic="{topic.name}"}}'
            plane.wait(lambda series=series: plane.series(series)[:1] > [0.0], f"records too large for {topic.name}")
        plane.wait(lambda: person(2) in plane.held(), "contexts that fit")
        plane.wait(lambda: lag_is_gone(plane), "no lag")
        text = (tmp_path / "a.log").read_text()
        assert "starting over" not in text
        for topic in (RECOMMENDATIONS, CONTEXTS):
            assert f"max.message.bytes of {topic.name}" in text or f"{topic.name} accepts no record" in text


def damage(broker: Broker, topic: str, partition: int) -> None:
    """Flip the last byte of the first record batch of a partition on the broker's disk. The broker is stopped."""
    (log,) = (broker.folder / "data" / f"{topic}-{partition}").glob("*.log")
    raw = bytearray(log.read_bytes())
    end = 12 + int.from_bytes(raw[8:12], "big")
    raw[end - 1] ^= 0xFF
    log.write_bytes(raw)


def test_damage_on_the_brokers_disk_loses_one_reported_batch(kafka: Broker, tmp_path: Path) -> None:
    with Plane(kafka, tmp_path) as plane:
        plane.send([like(number, f"{number}", f"film-{number}") for number in range(40)])
        plane.send([film(f"film-{number}") for number in range(40)], ITEMS.name)
        plane.start()
        check(plane)
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [40.0], "the items")
        assert plane.stop() == 0
        of = {record.partition for record in plane.read(EVENTS.name)}
        plane.send([like(number, f"late-{number}", f"film-{number}") for number in range(100, 140)])
        kafka.stop()
        partition = min(of)
        for topic in (EVENTS, ITEMS, CONTEXTS, NEIGHBOURS, COVISITS):
            damage(kafka, topic.name, partition)
        kafka.start()
        plane.lose_state()
        asyncio.run(_forget_offsets(plane))
        plane.start()
        wanted = {topic.name for topic in (EVENTS, ITEMS, CONTEXTS, NEIGHBOURS, COVISITS)}
        plane.wait(lambda: {each.topic for each in plane.letters()} >= wanted, "a dead letter of each topic")
        plane.send([like(number, f"last-{number}", "film-1") for number in range(200, 240)])
        plane.wait(lambda: {person(number) for number in range(200, 240)} <= set(plane.held()), "later events")
        plane.wait(lambda: lag_is_gone(plane), "no lag")
        plane.workers["a"].wait_ready()
        letters = plane.letters()
        assert {each.topic for each in letters} == wanted
        assert all(each.code is Refusal.UNREADABLE and each.partition == partition for each in letters)
        assert all("checksum" in each.detail for each in letters)
        assert len(letters) == len(wanted), "one each"
        text = (tmp_path / "a.log").read_text()
        assert all(f"{topic}: refused as unreadable, at partition {partition}" in text for topic in wanted)
        assert "starting over" not in text


async def _forget_offsets(plane: Plane) -> None:
    """Have the group read from the beginning again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=plane.bootstrap)
    await admin.start()
    try:
        await admin.delete_consumer_groups([plane.settings["app_id"]])
    except AttributeError:  # aiokafka's admin cannot: another group has no offsets either
        plane.settings["app_id"] = "another"
    finally:
        await admin.close()


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat writes headers of any bytes")
def test_header_name_that_is_not_utf_8_is_read(kafka: Broker, tmp_path: Path) -> None:
    with Plane(kafka, tmp_path) as plane:
        for topic, (key, value) in ((EVENTS, like(1, "a")), (ITEMS, film("film-1"))):
            assert key is not None
            assert value is not None
            (tmp_path / "value").write_bytes(value)
            command = ["kcat", "-P", "-b", plane.bootstrap, "-t", topic.name, "-X", "partitioner=murmur2_random"]
            subprocess.run(
                [*command, "-k", key.decode(), "-H", b"caf\xe9=x", str(tmp_path / "value")], check=True, timeout=60
            )
        plane.start()
        plane.wait(lambda: len(plane.held()) == 1, "the event")
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [1.0], "the item")
        assert plane.letters() == []


def test_lag_is_reported_from_the_assignment_on(kafka: Broker, tmp_path: Path) -> None:
    """Also of partitions without any event, and while the state is read."""
    with Plane(kafka, tmp_path) as plane:
        plane.send(traffic(1, 200))
        plane.start().wait_ready()
        assert len(plane.series("ouzel_lag_records")) == 4
        check(plane)
        plane.wait(lambda: lag_is_gone(plane), "no lag")
        assert plane.stop() == 0
        plane.start().wait_ready()
        assert lag_is_gone(plane), "before any event came"


def test_rejections_are_in_the_log_once_a_minute(kafka: Broker, tmp_path: Path) -> None:
    with Plane(kafka, tmp_path) as plane:
        for topic in (EVENTS, ITEMS, PRIVACY):
            plane.send([(b"ann", b"\xff"), (b"ann", b"\xff"), (b"ann", b"\xff")], topic.name)
        plane.start()
        plane.wait(lambda: len(plane.read(DEAD_LETTERS.name)) == 9, "the dead letters")
        lines = (tmp_path / "a.log").read_text().splitlines()
        for topic in (EVENTS, ITEMS, PRIVACY):
            assert len([line for line in lines if f"{topic.name}: refused as malformed, at partition" in line]) == 1
        assert "ann" not in "".join(line for line in lines if "refused" in line)
