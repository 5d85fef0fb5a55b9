"""`ouzel forget` on a live pipeline: no byte of the user is left in the state, on the compacted changelog, or in later
output; and they can come back as a new user."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.kafka.topics import settings as topic_settings
from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.privacy import ErasureReceipt
from schemas.recommendations import Recommendation
from schemas.topics import CONTEXTS, EVENTS, FEEDBACK, PRIVACY_RECEIPTS, RECOMMENDATIONS
from tests.support.patience import PATIENCE, until
from tests.support.pipeline import Pipeline, click, films
from tests.support.plane import contexts_of

SCRIPT = """
import sys
from inference.scorers.scripted import ScriptedScorer
from streams.worker import run
sys.exit(run(lambda settings: ScriptedScorer(version="scripted-7")))
"""
SCRIPTED = [sys.executable, "-c", SCRIPT]
"""A worker with a model that answers by position."""

ANN, BOB = "3f9c-ANN-wants-to-be-forgotten", "77aa-BOB-stays"


def forget(pipeline: Pipeline, user: str, *more: str) -> ErasureReceipt:
    """The receipt that the command prints."""
    return msgspec.json.decode(forgotten(pipeline, user, *more), type=ErasureReceipt)


def forgotten(pipeline: Pipeline, user: str, *more: str, **environment: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "deploy.cli", "forget", "-", "--brokers", pipeline.broker.bootstrap, *more]
    done = subprocess.run(
        command, input=user + "\n", capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + pipeline.log()
    return done.stdout


def holds(folder: Path, user: str) -> list[str]:
    """The files under a folder that hold the user's id."""
    mark = user.partition("-")[2].encode()  # what a key shares with the one before it may be left out
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and mark in path.read_bytes():
                found.append(path.name)
        except FileNotFoundError:  # a file that was compacted away meanwhile
            continue
    return found


async def test_user_is_erased_and_can_come_back(broker: Broker, tmp_path: Path) -> None:
    with Pipeline(broker, tmp_path) as pipeline:
        await pipeline.prepare(films())
        pipeline.start(SCRIPTED)
        for number in range(6):
            sent = [(user, encode(click(user, f"film-{number}", number))) for user in (ANN, BOB)]
            await pipeline.send(EVENTS, sent)
        await pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda made: {ANN, BOB} <= {one.user for one in made if one.model_version}
        )
        await asyncio.to_thread(
            until, lambda: bool(holds(tmp_path / "state", ANN)), "the user's id on disk, where the search finds it"
        )

        receipt = await asyncio.to_thread(forget, pipeline, ANN, "--order", "order-1")
        assert receipt.user == ANN
        assert {"context", "open-lists", "model-versions", "last-list"} <= {
            part.partition("@")[0] for part in receipt.cleared
        }
        assert receipt.model_versions == ("scripted-7",)
        assert "records@ouzel.events" in receipt.remains
        assert not holds(tmp_path / "state", ANN)
        assert holds(tmp_path / "state", BOB)

        (on_topic,) = [decode(ErasureReceipt, each.value) for each in await pipeline.records(PRIVACY_RECEIPTS.name)]
        assert on_topic == receipt
        held = contexts_of(await pipeline.records(CONTEXTS.name))
        assert ANN not in held
        assert len(held[BOB].scenes["home"].recent) == 6

        # From then on nothing of the person comes out, whatever others do; and the same order again clears nothing.
        before = {topic: len(await mentions(pipeline, topic)) for topic in (RECOMMENDATIONS.name, FEEDBACK.name)}
        await pipeline.send(EVENTS, [(BOB, encode(click(BOB, "film-9", 9)))])
        await pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda made: any(one.trigger == f"{BOB}-9" for one in made)
        )
        assert before == {topic: len(await mentions(pipeline, topic)) for topic in before}

        await pipeline.send(EVENTS, [(ANN, encode(click(ANN, "film-20", 20)))])
        await pipeline.read(
            RECOMMENDATIONS, Recommendation, lambda made: any(one.trigger == f"{ANN}-20" for one in made)
        )
        again = await asyncio.to_thread(forget, pipeline, ANN, "--order", "order-1")
        assert (again.offset, again.model_versions) == (receipt.offset, receipt.model_versions)
        held = contexts_of(await pipeline.records(CONTEXTS.name))
        assert [done.item for done in held[ANN].scenes["home"].recent] == ["film-20"]
        assert ANN not in (tmp_path / "worker.log").read_text()


async def mentions(pipeline: Pipeline, topic: str) -> list[Any]:
    return [each for each in await pipeline.records(topic) if ANN.encode() in (each.key or b"") + (each.value or b"")]


@pytest.mark.slow
@pytest.mark.parametrize("own_broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_compacted_changelog_has_no_byte_of_an_erased_user(own_broker: Broker, tmp_path: Path) -> None:
    """With the contract's own settings it is the same, an hour and a day later; here they are milliseconds."""
    with Pipeline(own_broker, tmp_path) as pipeline:
        await pipeline.prepare(films())
        pipeline.start(SCRIPTED)
        for number in range(3):
            await pipeline.send(EVENTS, [(ANN, encode(click(ANN, f"film-{number}", number)))])
        await pipeline.read(RECOMMENDATIONS, Recommendation, bool)
        await asyncio.to_thread(forget, pipeline, ANN)
        logs = [path for path in (own_broker.folder / "data").iterdir() if path.name.startswith(CONTEXTS.name)]
        assert any(holds(log, ANN) for log in logs), "the search finds what is there"

        hasty = {
            "max.compaction.lag.ms": "1000",
            "delete.retention.ms": "0",
            "min.cleanable.dirty.ratio": "0.0",
            "segment.ms": "500",
            "file.delete.delay.ms": "0",
        }
        admin = AIOKafkaAdminClient(bootstrap_servers=own_broker.bootstrap)
        await admin.start()
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, CONTEXTS.name, {**topic_settings(CONTEXTS), **hasty})
            await admin.alter_configs([resource])
        finally:
            await admin.close()
        deadline = time.monotonic() + PATIENCE
        number = 100
        while any(holds(log, ANN) for log in logs):
            assert time.monotonic() < deadline, [(log.name, holds(log, ANN)) for log in logs]
            # Segments are rolled when something is written to them.
            number += 1
            await pipeline.send(
                EVENTS, [(f"{other}", encode(click(f"{other}", "film-5", number))) for other in range(40)]
            )
            await asyncio.sleep(0.5)
        assert any(holds(log, "x-film-5") for log in logs)
