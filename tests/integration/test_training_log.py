"""`ouzel log` on real brokers: each record once whatever is killed, erasure orders, pseudonyms, retention, stores."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from deploy.kafka.topics import create
from deploy.learning.catalogue import read_receipts
from deploy.learning.evidence import Evidence
from deploy.learning.job import Job
from deploy.learning.lineage import of_order
from deploy.learning.work import Work
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from inference.versions.store import Learned, Version, VersionStore
from schemas.codec import decode, decode_event, encode
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.feedback import Feedback, Outcome
from schemas.privacy import ErasureReceipt
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, FEEDBACK, PRIVACY_RECEIPTS, RECOMMENDATIONS
from streams.privacy.pseudonyms import alias_with
from streams.secret import Secret
from streams.settings import Settings, throwaway, to_environment
from streams.training_log.log_files import LogFile, Range
from streams.training_log.reading import LogReader
from streams.training_log.searching import LogSearch
from tests.conftest import on_the_strongest_broker
from tests.integration.test_forget import ANN, BOB, SCRIPTED, forgotten
from tests.support.log_process import OUZEL_LOG, LogProcess, kill_while_writing
from tests.support.object_store import object_store
from tests.support.patience import PATIENCE, until
from tests.support.pipeline import Pipeline, click, films
from tests.support.plane import NOW_MS, traffic
from tests.support.topics import Sent, read_all, send_all

KEY = "a key of the test's own"
ALIAS = alias_with(KEY)
KILLS = 6


def settings_of(broker: Broker, folder: Path, **given: Any) -> Settings:
    port = free_ports(1)[0]
    chosen = {"training_log": str(folder / "log"), "training_log_flush_s": 0.4, "training_log_port": port,
              "training_log_group": f"log-{port}", "training_log_rows": 100, **given}  # fmt: skip
    return throwaway(broker.bootstrap, **chosen)


def reactions(seed: int, count: int) -> list[Sent]:
    """Records of `ouzel.feedback`, some of them malformed."""
    draw = random.Random(seed)
    made: list[Sent] = []
    for number in range(count):
        user = f"person-{draw.randrange(30)}."
        feedback = Feedback(id=f"{seed}-{number}", list=f"l-{number}", user=user, scene="home", ts=NOW_MS,
                            outcome=Outcome.NOT_TAKEN, reward=0.0)  # fmt: skip
        made.append((user.encode(), b"\x81" if draw.random() < 0.05 else encode(feedback)))
    return made


def accepted(topic: str, records: list[Any]) -> dict[tuple[int, int], Any]:
    """The messages of a topic that belong in the log, by partition and offset."""
    found: dict[tuple[int, int], Any] = {}
    for record in records:
        try:
            message = (
                decode_event(record.value, key=record.key, now_ms=record.timestamp)
                if topic == EVENTS.name
                else decode(Feedback, record.value)
            )
        except Refused:
            continue
        if not (isinstance(message, Event) and message.kind is EventKind.ERASE):
            found[record.partition, record.offset] = message
    return found


def logged(root: Path | str, topic: str) -> dict[tuple[int, int], Any]:
    """What a reader gets, by place. Fails if a record comes twice."""
    found: dict[tuple[int, int], Any] = {}
    for row in LogReader(str(root)).read(topic, Event if topic == EVENTS.name else Feedback, repeats=True).rows():
        place = row.partition, row.offset
        assert place not in found, f"{topic} {place} was read twice"
        found[place] = row.message
    return found


async def check(broker: Broker, root: Path | str, *processes: LogProcess) -> None:
    """Wait until the log holds what the topics hold, each record once, and compare."""
    for topic in (EVENTS.name, FEEDBACK.name):
        expected = accepted(topic, await read_all(broker.bootstrap, topic))
        assert expected

        def complete(topic: str = topic, expected: dict[tuple[int, int], Any] = expected) -> bool:
            for each in processes:
                assert each.running(), each.tail()
            return logged(root, topic).keys() >= expected.keys()

        await asyncio.to_thread(until, complete, f"all of {topic} in the log")
        assert logged(root, topic) == expected


def once(settings: Settings, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [*OUZEL_LOG, "--once"]
    environment = {**to_environment(settings), **env, "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)


def files_of(root: Path) -> set[Path]:
    return set(root.rglob("*.parquet"))


async def topics_with_records(broker: Broker, seed: int, count: int = 300) -> None:
    await create(broker.bootstrap)
    await send_all(broker.bootstrap, traffic(seed, count))
    await send_all(broker.bootstrap, reactions(seed, count // 4), FEEDBACK.name)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


@on_the_strongest_broker
@pytest.mark.slow
async def test_each_record_is_logged_once_whatever_is_killed(broker: Broker, tmp_path: Path, stack: ExitStack) -> None:
    await topics_with_records(broker, 1)
    settings = settings_of(broker, tmp_path)
    draw, done = random.Random(7), asyncio.Event()

    async def flow() -> None:
        number = 0
        while not done.is_set():
            number += 1
            await send_all(broker.bootstrap, traffic(100 + number, 40))
            await send_all(broker.bootstrap, reactions(100 + number, 15), FEEDBACK.name)
            await asyncio.sleep(0.05)

    flowing = asyncio.create_task(flow())
    try:
        for number in range(KILLS):
            process = stack.enter_context(LogProcess(settings, tmp_path / "log.txt"))
            if number:  # so that most strikes hit a process that writes
                before = files_of(tmp_path / "log")
                await asyncio.to_thread(until, lambda known=before: bool(files_of(tmp_path / "log") - known), "a file")
            await kill_while_writing(process, draw)
    finally:
        done.set()
        await flowing
    process = stack.enter_context(LogProcess(settings, tmp_path / "log.txt"))
    await check(broker, tmp_path / "log", process)
    assert process.metric("ouzel_log_rejected_records_total") > 0
    assert process.stop(grace=30.0) == 0
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


@on_the_strongest_broker
@pytest.mark.slow
async def test_processes_share_the_partitions_and_take_over(broker: Broker, tmp_path: Path, stack: ExitStack) -> None:
    """One of two is frozen until the other has its partitions, then goes on unaware, and is stopped."""
    await topics_with_records(broker, 2)
    one = settings_of(broker, tmp_path)
    two = settings_of(broker, tmp_path, training_log_group=one.training_log.group)
    first, second = (
        stack.enter_context(LogProcess(each, tmp_path / f"{number}.txt")) for number, each in enumerate((one, two))
    )

    def lagging(process: LogProcess) -> bool:
        return process.metric("ouzel_log_rows_total") > 0

    number = 300
    while not (lagging(first) and lagging(second)):
        number += 1
        await send_all(broker.bootstrap, traffic(number, 60))
        assert number < 1_000, "both processes log"
    await send_all(broker.bootstrap, traffic(2_000, 100))
    os.killpg(first.pid, signal.SIGSTOP)
    await send_all(broker.bootstrap, traffic(2_001, 100))
    await check(broker, tmp_path / "log", second)
    os.killpg(first.pid, signal.SIGCONT)
    await send_all(broker.bootstrap, traffic(2_002, 100))
    await check(broker, tmp_path / "log", first, second)
    assert first.stop(grace=30.0) == 0
    await send_all(broker.bootstrap, traffic(2_003, 100))
    await check(broker, tmp_path / "log", second)


def store_of_a_version_that_read_all(root: Path) -> VersionStore:
    store = VersionStore(root)
    read = tuple(Learned(topic=EVENTS.name, partition=at, first=0, behind=9) for at in range(64))
    version = Version(number=2, name="v2", parent=1, kind="full", made_ms=1, cut_ms=2**50, events=9, likes=9, tests=9,
                      learned=read)  # fmt: skip
    with store.written(2) as folder:
        (folder / "version.json").write_bytes(msgspec.json.encode(version))
    return store


def evidence_now(broker: Broker, root: Path, store: VersionStore) -> Evidence:
    """What a training that begins now would learn from."""
    job = Job(work="train", number=3, other=2, log=str(root), versions=str(store.root), repository="", triton="",
              brokers=broker.bootstrap)  # fmt: skip
    return Work(job).evidence


@pytest.mark.slow
async def test_order_removes_a_user_with_a_pseudonym_whatever_is_killed(
    strong_broker: Broker, tmp_path: Path, stack: ExitStack
) -> None:
    broker = strong_broker
    settings = settings_of(broker, tmp_path, pseudonym_key=Secret(KEY), training_log_flush_s=0.2)
    root = tmp_path / "log"

    def users(topic: str) -> set[str]:
        """The users in any row of any file."""
        found: set[str] = set()
        for path in (root / topic).rglob("*.parquet"):
            try:
                found |= set(pq.ParquetFile(path).read(["user"])["user"].to_pylist())
            except FileNotFoundError:
                continue  # merged meanwhile
        return found

    with Pipeline(broker, tmp_path, pseudonym_key=Secret(KEY)) as pipeline:
        await pipeline.prepare(films())
        process = stack.enter_context(LogProcess(settings, tmp_path / "log.txt"))
        pipeline.start(SCRIPTED)
        await pipeline.send(EVENTS, [(user, encode(click(user, "film-1", 1))) for user in (ANN, BOB)])
        lists = await pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda made: {ANN, BOB} <= {one.user for one in made}
        )
        likes = [
            Event(id=f"like-{one.id}", user=one.user, kind=EventKind.LIKE, ts=one.ts + 1, item=one.entries[0].item,
                  list=one.id)
            for one in lists
        ]  # fmt: skip
        await pipeline.send(EVENTS, [(like.user, encode(like)) for like in likes])
        both = {ALIAS(ANN), ALIAS(BOB)}
        for topic in (EVENTS.name, FEEDBACK.name):
            await asyncio.to_thread(
                until, lambda topic=topic: users(topic) >= both, f"both users in the log of {topic}"
            )
        assert not (users(EVENTS.name) | users(FEEDBACK.name)) & {ANN, BOB}
        store = store_of_a_version_that_read_all(tmp_path / "versions")
        more = ("--order", "order-1", "--log", str(root), "--versions", str(store.root))
        secret = {"OUZEL_PSEUDONYM_KEY": KEY}
        printed = msgspec.json.decode(await asyncio.to_thread(forgotten, pipeline, ANN, *more, **secret))
        assert (printed["learned_by"], printed["retrain"]) == ([2], "ouzel learn --once --from 1")
        receipt = msgspec.convert(printed, ErasureReceipt)
        process.kill()  # before, while or after it rewrites
        evidence = await asyncio.to_thread(evidence_now, broker, root, store)
        assert {each.user for each in evidence.dataset.events} == {ALIAS(BOB)}
        assert {each.topic for each in evidence.learned} == {EVENTS.name, FEEDBACK.name}
        assert receipt.person == ALIAS(ANN)
        assert await read_receipts(broker.bootstrap) == ((receipt,), 0)
        process = stack.enter_context(LogProcess(settings, tmp_path / "log.txt"))
        gone = {ANN, ALIAS(ANN)}
        for topic in (EVENTS.name, FEEDBACK.name):
            await asyncio.to_thread(
                until, lambda topic=topic: not users(topic) & gone, f"no row of the user in {topic}"
            )

        of_order_1 = await asyncio.to_thread(of_order, store, LogSearch(str(root)), "order-1")
        assert [each.number for each in of_order_1.learned] == [2]
        assert {each.place.topic for each in of_order_1.records} == {EVENTS.name, FEEDBACK.name}

        # The user comes back as a new one, and the log starts again from its files.
        await pipeline.send(EVENTS, [(ANN, encode(click(ANN, "film-9", 99)))])
        await asyncio.to_thread(until, lambda: users(EVENTS.name) >= both, "the new event in the log")
        names = [each.user for each in logged(root, EVENTS.name).values()]
        assert names.count(ALIAS(ANN)) == 1
        assert len(await read_all(broker.bootstrap, PRIVACY_RECEIPTS.name)) == 1
    assert process.stop(grace=30.0) == 0
    assert ANN not in (tmp_path / "log.txt").read_text()


async def test_once_logs_everything_and_continues_where_it_ended(broker: Broker, tmp_path: Path) -> None:
    await topics_with_records(broker, 3)
    settings = settings_of(broker, tmp_path)
    root = tmp_path / "log"
    done = once(settings)
    assert done.returncode == 0, done.stderr
    await check(broker, root)
    rows = sum(len(logged(root, topic)) for topic in (EVENTS.name, FEEDBACK.name))
    assert f"logged {rows} rows" in done.stdout
    assert "logged 0 rows" in once(settings).stdout
    await send_all(broker.bootstrap, traffic(4, 50))
    assert once(settings).returncode == 0
    await check(broker, root)
    reading = LogReader(str(root)).read(EVENTS.name, Event, repeats=True)
    read = len(list(reading))
    assert reading.ranges == tuple(sorted(reading.ranges))
    assert sum(each.behind - each.first for each in reading.ranges) >= read
    assert all(isinstance(each, Range) for each in reading.ranges)


@on_the_strongest_broker
async def test_once_to_an_object_store(broker: Broker, tmp_path: Path) -> None:
    await topics_with_records(broker, 5)
    keys = {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "sEcReT", "AWS_EC2_METADATA_DISABLED": "true"}
    with object_store("bucket") as store, pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        settings = settings_of(broker, tmp_path, training_log=store.uri("bucket/log"))
        done = await asyncio.to_thread(once, settings, **keys)
        assert done.returncode == 0, done.stderr
        await check(broker, store.uri("bucket/log"))
        assert "sEcReT" not in done.stdout + done.stderr
        store.failing = True
        refused = await asyncio.to_thread(once, settings, **keys)
        assert refused.returncode == 1
        assert "check OUZEL_TRAINING_LOG" in refused.stderr
        assert "Traceback" not in refused.stderr


@on_the_strongest_broker
async def test_days_that_are_over_are_deleted(broker: Broker, tmp_path: Path) -> None:
    await topics_with_records(broker, 6)
    settings = settings_of(broker, tmp_path, training_log_days=1)
    old = tmp_path / "log" / LogFile(EVENTS.name, 0, 0, 1, date(2020, 1, 1)).path
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of another time")
    done = once(settings)
    assert done.returncode == 0, done.stderr
    assert not old.parent.exists()
    assert (tmp_path / "log" / EVENTS.name).exists()


@on_the_strongest_broker
async def test_recreated_topic_is_refused_with_the_next_step(broker: Broker, tmp_path: Path) -> None:
    await topics_with_records(broker, 7)
    settings = settings_of(broker, tmp_path)
    left = tmp_path / "log" / LogFile(EVENTS.name, 0, 0, 10**9, date(2026, 11, 27)).path
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of another topic")
    with LogProcess(settings, tmp_path / "log.txt") as service:
        for told, status in ((once(settings).stderr, 1), ("", service.wait(PATIENCE))):
            said = told or service.tail()
            assert status == 1
            assert "recreated or has lost records" in said
            assert "moved or deleted" in said
            assert "Traceback" not in said


def test_setup_that_is_missing_is_named(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    unset = once(throwaway(nowhere))
    assert (unset.returncode, "set OUZEL_TRAINING_LOG" in unset.stderr) == (1, True)
    away = once(throwaway(nowhere, training_log=str(tmp_path)))
    assert (away.returncode, "no broker answers" in away.stderr) == (1, True)
    without = (
        "import sys; sys.modules['pyarrow'] = None; from deploy.cli import main; sys.argv = ['ouzel', 'log']; main()"
    )
    missing = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert missing.returncode == 1
    assert "pip install 'ouzel[files]'" in missing.stderr
