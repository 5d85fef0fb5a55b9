"""What a worker cannot serve, on a real Apache Kafka: said in one line with the next step, not ready meanwhile, shown
in a metric, and over without a restart once the cause is gone."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import RecordsToDelete

from deploy.kafka.topics import admin
from deploy.local.brokers import KafkaBroker
from inference.triton.ports import free_ports
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from schemas.topics import ALL, CONTEXTS, COVISITS, DEAD_LETTERS, EVENTS, ITEMS, PRIVACY, RECOMMENDATIONS
from tests.integration.secure import USER, AuthorizedKafka
from tests.support.parts import need_kafka
from tests.support.pipeline import Pipeline, films

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECONDS = 90.0


class Bench(Pipeline):
    """A pipeline on Apache Kafka, and what its worker must say."""

    def until_ready(self) -> None:
        self.worker.until(self.worker.ready, "a worker that is ready", SECONDS)

    def until_page_says(self, *words: str) -> None:
        self.worker.until(
            lambda: all(word in self.worker.page("/readyz") for word in words), f"a page that says {words}", SECONDS
        )

    def until_metric(self, name: str, value: float) -> None:
        """Wait until the series of the metric add up to `value`."""
        self.worker.until(lambda: self.worker.metric(name) == value, f"{value:g} as {name}", SECONDS)

    def tool(self, name: str, *arguments: str) -> None:
        home = KafkaBroker(self.folder).home
        command = [str(home / "bin" / name), "--bootstrap-server", self.broker.bootstrap, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def like(self, *users: str, mark: str = "a", item: str = "heat") -> set[str]:
        """Have each user like the item; the ids of the events."""
        now = time.time_ns() // 1_000_000
        events = [Event(id=f"{mark}-{user}", user=user, kind=EventKind.LIKE, ts=now, item=item) for user in users]
        asyncio.run(self.send(EVENTS, [(each.user, encode(each)) for each in events]))
        return {each.id for each in events}

    def until_listed(self, triggers: set[str]) -> None:
        """Wait for the lists that answer these events, and see that each has one."""

        def enough(lists: list[Recommendation]) -> bool:
            return triggers <= {each.trigger for each in lists}

        asyncio.run(self.read(RECOMMENDATIONS, Recommendation, enough, SECONDS))

    def check_log(self, *words: str, most: int = 1) -> None:
        """The log has a line with these words, at most this many, and no traceback."""
        log = self.worker.log.read_text()
        lines = [line for line in log.splitlines() if all(word in line for word in words)]
        assert 1 <= len(lines) <= most, (words, lines, log[-4000:])
        assert "Traceback" not in log, log[-6000:]


PEOPLE = tuple(f"user-{number}" for number in range(12))


@pytest.fixture
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    need_kafka()
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizedKafka]:
    need_kafka()
    with AuthorizedKafka(tmp_path_factory.mktemp("guarded")) as running:
        yield running


def test_added_partitions_are_served_once_the_contexts_have_them_too(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        bench.start()
        bench.tool("kafka-topics.sh", "--alter", "--topic", EVENTS.name, "--partitions", "6")
        bench.until_page_says("ouzel.contexts must have 6", "kafka-topics.sh --alter --topic ouzel.contexts")
        sent = bench.like(*PEOPLE)
        assert bench.worker.metric('ouzel_unserved{cause="partitions",topic="ouzel.contexts"}') >= 1
        assert bench.worker.series("ouzel_ready") == [0.0]
        bench.check_log("ERROR", "ouzel.contexts must have 6")
        bench.tool("kafka-topics.sh", "--alter", "--topic", CONTEXTS.name, "--partitions", "6")
        bench.until_ready()
        bench.until_listed(sent)
        assert bench.worker.metric("ouzel_events_total") == len(PEOPLE)


def test_worker_that_starts_with_too_few_changelog_partitions_serves_the_others(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        bench.tool("kafka-topics.sh", "--alter", "--topic", EVENTS.name, "--partitions", "5")
        bench.begin()
        bench.until_page_says("ouzel.contexts must have 5")
        bench.like(*PEOPLE)
        bench.worker.until(lambda: bench.worker.metric("ouzel_events_total") > 0, "events of other partitions", SECONDS)
        assert "AssertionError" not in bench.worker.log.read_text()
        bench.check_log("ERROR", "ouzel.contexts must have 5")


def test_missing_topics_are_named_and_waited_for(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        bench.begin()
        bench.until_page_says("topic ouzel.events does not exist", "topic ouzel.items does not exist")
        assert bench.worker.metric('ouzel_unserved{cause="missing",topic="ouzel.events"}') == 1
        bench.check_log("ERROR", "topic ouzel.events does not exist", "ouzel topics create")
        asyncio.run(bench.prepare())
        bench.until_ready()
        bench.until_listed(bench.like("ann"))


def test_records_that_retention_took_are_counted(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        bench.start()
        bench.until_listed(bench.like("ann"))
        order = [("ann", b"no order at all")]
        asyncio.run(bench.send(PRIVACY, order))
        bench.until_metric("ouzel_dead_letters_total", 1)
        bench.stop()
        asyncio.run(bench.send(PRIVACY, order * 3))
        for number in range(20):
            bench.like("ann", mark=f"gone-{number}")
        partition = next(number for number, end in asyncio.run(ends(kafka.bootstrap)).items() if end)
        asyncio.run(delete(kafka.bootstrap, EVENTS.name, partition, 11))
        asyncio.run(delete(kafka.bootstrap, PRIVACY.name, partition, 3))
        bench.start()
        bench.until_metric("ouzel_events_total", 10)
        assert bench.worker.metric('ouzel_lost_records_total{topic="ouzel.events"}') == 10
        bench.until_metric('ouzel_lost_records_total{topic="ouzel.privacy"}', 2)
        bench.check_log("ERROR", f"Partition {partition} of ouzel.privacy", "2 records", "offsets 1 to 2")
        bench.check_log(
            "ERROR", f"Partition {partition} of ouzel.events", "10 records", "offsets 1 to 10", "retention.ms"
        )


async def ends(bootstrap: str) -> dict[int, int]:
    """The end offset of each partition of the events."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = await consumer.end_offsets([TopicPartition(EVENTS.name, partition) for partition in range(4)])
        return {each.partition: end for each, end in found.items()}
    finally:
        await consumer.stop()


async def delete(bootstrap: str, topic: str, partition: int, before: int) -> None:
    """Delete the partition's records before an offset, as retention does."""
    async with admin(bootstrap) as client:
        await client.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)})


def recreate(bench: Bench, *topics: str) -> None:
    for topic in topics:
        bench.tool("kafka-topics.sh", "--delete", "--topic", topic)
    time_limit = time.monotonic() + SECONDS
    while True:  # the broker takes a moment to let go of a name
        with contextlib.suppress(Exception):
            asyncio.run(bench.prepare())
            return
        assert time.monotonic() < time_limit


@pytest.mark.parametrize("running", [False, True], ids=["while it was away", "while it ran"])
def test_recreated_topic_is_not_served_until_the_operator_decides(
    kafka: KafkaBroker, tmp_path: Path, running: bool
) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        bench.start()
        bench.until_listed(bench.like(*PEOPLE))
        if not running:
            bench.stop()
        recreate(bench, EVENTS.name)
        for mark in ("new", "newer", "newest"):  # more than the old topic had
            sent = bench.like(*PEOPLE, mark=mark, item="ronin")
        if not running:
            bench.begin()
        bench.until_page_says("ouzel.events", "was recreated", "OUZEL_RECREATED_EVENTS=continue")
        assert bench.worker.metric('ouzel_unserved{cause="recreated",topic="ouzel.events"}') >= 1
        bench.check_log("ERROR", "was recreated", "OUZEL_RECREATED_EVENTS=continue", most=2)
        bench.stop()
        bench.change(recreated_events="continue")
        bench.begin()
        bench.until_ready()
        bench.until_listed(sent)
        assert bench.worker.metric("ouzel_repeated_events_total") == 0
        assert bench.worker.metric("ouzel_events_total") == 3 * len(PEOPLE)
        bench.stop()
        bench.change(recreated_events="stop")  # the new topic is known by now
        bench.begin()
        bench.until_ready()
        bench.until_listed(bench.like(*PEOPLE, mark="last"))
        assert bench.worker.metric("ouzel_events_total") == len(PEOPLE)


def test_fresh_start_beside_a_recreated_topic_needs_no_restart(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        bench.start()
        bench.until_listed(bench.like(*PEOPLE))
        recreate(bench, EVENTS.name)
        bench.until_page_says("was recreated")
        recreate(bench, "ouzel.contexts", "ouzel.covisits", "ouzel.neighbours")
        bench.until_ready()
        bench.until_listed(bench.like(*PEOPLE, mark="new"))
        assert bench.worker.metric("ouzel_events_total") == 2 * len(PEOPLE)


def test_other_topics_that_change_are_taken_as_they_are(kafka: KafkaBroker, tmp_path: Path) -> None:
    with Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare(films(8)))
        bench.start()
        bench.until_listed(bench.like("ann", "bob", mark="a", item="film-1"))
        bench.until_listed(bench.like("ann", "bob", mark="b", item="film-2"))
        bench.until_metric("ouzel_counted_events_total", 4)
        recreate(bench, COVISITS.name)
        bench.until_ready()
        bench.until_listed(bench.like("ann", "bob", mark="c", item="film-3"))
        worker = bench.worker
        worker.until(lambda: worker.metric("ouzel_counted_events_total") >= 6, "co-visits of the new topic", SECONDS)
        bench.tool("kafka-topics.sh", "--alter", "--topic", ITEMS.name, "--partitions", "7")
        asyncio.run(bench.send(ITEMS, ((item.id, encode(item)) for item in films(60))))
        bench.until_metric("ouzel_catalogue_items", 60)


def test_broker_is_found_again_under_another_address(tmp_path: Path) -> None:
    need_kafka()
    with KafkaBroker(tmp_path / "kafka") as kafka, Bench(kafka, tmp_path, triton="") as bench:
        asyncio.run(bench.prepare())
        (port,) = free_ports(1)
        bench.change(brokers=f"{kafka.bootstrap},127.0.0.1:{port}")
        bench.start()
        kafka.stop()
        bench.until_page_says("No broker answers")
        assert bench.worker.metric('ouzel_unserved{cause="brokers",topic=""}') == 1
        properties = kafka.folder / "server.properties"
        properties.write_text(properties.read_text().replace(kafka.bootstrap, f"127.0.0.1:{port}"))
        kafka.port = port
        kafka.start()
        bench.until_ready()
        bench.until_listed(bench.like(*PEOPLE))
        bench.check_log("ERROR", "No broker answers", "OUZEL_BROKERS")


@pytest.mark.parametrize("when", ["serving", "starting", "frozen"])
def test_worker_ends_in_time_without_brokers(tmp_path: Path, when: str) -> None:
    need_kafka()
    with KafkaBroker(tmp_path / "kafka") as kafka, Bench(kafka, tmp_path, triton="127.0.0.1:9") as bench:
        asyncio.run(bench.prepare())
        if when == "starting":
            bench.begin()
        else:
            bench.start()
            bench.like(*PEOPLE)
        if when == "frozen":
            subprocess.run(["kill", "-STOP", str(kafka.pid)], check=True)
        else:
            kafka.kill()
        began = time.monotonic()
        try:
            subprocess.run(["kill", "-TERM", str(bench.worker.pid)], check=True)
            bench.worker.wait(SECONDS)
            assert time.monotonic() - began < 21.0
        finally:
            if when == "frozen":
                subprocess.run(["kill", "-CONT", str(kafka.pid)], check=True)


def guarded_bench(broker: AuthorizedKafka, folder: Path) -> Bench:
    bench = Bench(broker, folder, triton="")
    login = {
        "brokers": broker.login,
        "security": "sasl_ssl",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_username": USER,
        "sasl_password": broker.password,
        "ssl_ca": broker.ca,
    }
    bench.change(**login)
    asyncio.run(bench.prepare())
    return bench


EVERYTHING = ("--operation", "Read", "--operation", "Write", "--topic", "ouzel.", "--resource-pattern-type", "prefixed")


def test_rights_that_are_missing_at_the_start_are_named(guarded: AuthorizedKafka, tmp_path: Path) -> None:
    with guarded_bench(guarded, tmp_path) as bench:
        bench.begin()
        bench.until_page_says(
            f"User {USER} is not allowed to read ouzel.items", f"as the consumer group {bench.settings.kafka.app_id}"
        )
        assert "does not exist" not in bench.worker.log.read_text()
        assert bench.worker.metric('ouzel_unserved{cause="permission",topic="ouzel.items"}') >= 1
        bench.check_log(
            "ERROR", f"User {USER} is not allowed to read ouzel.items", f"--allow-principal User:{USER}", "ouzel.items`"
        )
        guarded.allow(*EVERYTHING)
        guarded.allow("--operation", "Read", "--group", bench.settings.kafka.app_id)
        bench.until_ready()
        bench.until_listed(bench.like(*PEOPLE, mark="start"))
    guarded.deny(*EVERYTHING)


EVERY_TOPIC = tuple(part for each in ALL for part in ("--topic", each.name))
"""One call: each starts a Java program."""


@pytest.mark.parametrize("topic", [EVENTS.name, CONTEXTS.name, RECOMMENDATIONS.name, ITEMS.name, DEAD_LETTERS.name, ""])
def test_right_that_is_revoked_and_granted_again(guarded: AuthorizedKafka, tmp_path: Path, topic: str) -> None:
    with guarded_bench(guarded, tmp_path) as bench:
        group = ("--operation", "Read", "--group", bench.settings.kafka.app_id)
        taken = ("--operation", "Read", "--operation", "Write", "--topic", topic) if topic else group
        guarded.allow("--operation", "Read", "--operation", "Write", *EVERY_TOPIC)
        guarded.allow(*group)
        bench.start()
        bench.until_listed(bench.like(*PEOPLE, mark=f"before-{topic}"))
        guarded.deny(*taken)
        bench.until_page_says(f"User {USER} is not allowed to", topic or bench.settings.kafka.app_id)
        sent = bench.like(*PEOPLE, mark=f"meanwhile-{topic}")
        assert bench.worker.metric(f'ouzel_unserved{{cause="permission",topic="{topic}"}}') >= 1
        guarded.allow(*taken)
        bench.until_ready()
        bench.until_listed(sent)
        log = bench.worker.log.read_text()
        assert "Traceback" not in log, log[-6000:]
