"""The whole path over TLS: a worker, `ouzel topics`, `replay`, `read` and `forget`, on an Apache Kafka that asks who
they are; and what is said, and not said, where it does not know them."""

import asyncio
import json
import logging
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.topics import RECOMMENDATIONS
from streams.kafka.connection import client_options
from streams.secret import Secret
from streams.settings import Settings, to_environment
from tests.integration.secure import USER, SecureKafka
from tests.support.parts import need_kafka
from tests.support.patience import until
from tests.support.pipeline import Pipeline

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

TOKEN = "a-token-for-the-tests"
SECONDS = 90.0

ITEMS = "item,title,genres\nheat,Heat (1995),crime\nfargo,Fargo (1996),crime\nalien,Alien (1979),horror\n"
EVENTS = "user,item,timestamp,rating\nann,heat,881250949,5\nann,fargo,881250950,5\n"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    need_kafka()
    with SecureKafka(tmp_path_factory.mktemp("secure")) as running:
        yield running


def login(broker: SecureKafka, way: str) -> dict[str, Any]:
    """The worker's settings for one way to log in."""
    if way == "certificate":
        return {
            "brokers": broker.mutual,
            "security": "ssl",
            "ssl_ca": broker.ca,
            "ssl_cert": broker.cert,
            "ssl_key": broker.key,
        }
    return {
        "brokers": broker.login,
        "security": "sasl_ssl",
        "sasl_mechanism": way,
        "sasl_username": USER,
        "sasl_password": broker.password,
        "ssl_ca": broker.ca,
    }


def pipeline_of(broker: SecureKafka, folder: Path, **settings: Any) -> Pipeline:
    return Pipeline(broker, folder, triton="", **settings)


def ouzel(pipeline: Pipeline, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**to_environment(pipeline.settings), "PATH": "/usr/bin:/bin", "HOME": str(pipeline.folder)}
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=120, env=environment
    )


@pytest.mark.parametrize("way", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "certificate"])
async def test_whole_path_with_a_known_user(secure: SecureKafka, tmp_path: Path, way: str) -> None:
    with pipeline_of(secure, tmp_path, web_token=Secret(TOKEN)) as pipeline:
        pipeline.change(**login(secure, way))
        made = ouzel(pipeline, "topics", "create")
        assert made.returncode == 0, made.stderr
        pipeline.start()
        (tmp_path / "items.csv").write_text(ITEMS)
        (tmp_path / "events.csv").write_text(EVENTS.replace("ann", f"ann-{way}"))
        files = ["--items", str(tmp_path / "items.csv"), "--events", str(tmp_path / "events.csv")]
        sent = ouzel(pipeline, "replay", *files)
        assert "3 items, 0 past events and 2 live events" in sent.stdout, sent.stdout + sent.stderr

        def lists() -> list[dict[str, Any]]:
            told = ouzel(pipeline, "read", RECOMMENDATIONS.name, "--key", f"ann-{way}")
            assert told.returncode == 0, told.stderr
            return [json.loads(line) for line in told.stdout.splitlines()]

        await asyncio.to_thread(until, lambda: bool(lists()), "a list", SECONDS)
        receipt = await asyncio.to_thread(ouzel, pipeline, "forget", f"ann-{way}")
        assert any(part.startswith("context@") for part in json.loads(receipt.stdout)["cleared"]), receipt.stderr
        check_page(pipeline)
        for text in (pipeline.worker.log.read_text(), made.stderr, sent.stderr, receipt.stderr):
            assert secure.password.reveal() not in text
            assert TOKEN not in text


def check_page(pipeline: Pipeline) -> None:
    url = f"http://127.0.0.1:{pipeline.settings.web.port}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + "/metrics", timeout=5)
    assert refused.value.code == 401
    refused.value.close()  # it holds the connection, and the traceback holds it
    asked = urllib.request.Request(url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert "ouzel_events_total" in answer.read().decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sasl_password": Secret("not-the-password-of-anybody")},
        {"ssl_ca": "stranger"},
        {"ssl_ca": "missing"},
        {"security": "plaintext"},
    ],
    ids=["password", "authority", "no file", "plaintext"],
)
async def test_unknown_user_is_refused_and_no_secret_is_printed(
    secure: SecureKafka, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    given = {**login(secure, "SCRAM-SHA-256"), **wrong}
    if given["ssl_ca"] in ("stranger", "missing"):
        given["ssl_ca"] = secure.stranger if given["ssl_ca"] == "stranger" else str(tmp_path / "none.pem")
    with pipeline_of(secure, tmp_path) as pipeline:
        pipeline.change(**given)
        for command in (["topics", "list"], ["read", "recommendations"], ["forget", "ann"]):
            done = await asyncio.to_thread(ouzel, pipeline, *command)
            assert done.returncode == 1, done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            assert "ouzel:" in done.stderr
            for secret in (secure.password.reveal(), "not-the-password"):
                assert secret not in done.stderr + done.stdout


@pytest.mark.parametrize("right", [True, False])
async def test_client_log_at_debug_level_has_no_password(
    secure: SecureKafka, caplog: pytest.LogCaptureFixture, right: bool
) -> None:
    given = {**login(secure, "PLAIN"), **({} if right else {"sasl_password": Secret("not-the-password-of-anybody")})}
    settings = Settings.make(**given)
    producer = AIOKafkaProducer(**client_options(settings.kafka))
    with caplog.at_level(logging.DEBUG):
        try:
            await producer.start()
        except KafkaError as error:
            assert not right
            caplog.handler.stream.write("".join(traceback.format_exception(error)))
        finally:
            await producer.stop()
    assert "Request to" in caplog.text
    assert settings.kafka.sasl_password.reveal() not in caplog.text + repr(vars(producer)) + repr(producer.client)


async def test_worker_of_an_unknown_user_exits_or_waits_and_logs_no_secret(secure: SecureKafka, tmp_path: Path) -> None:
    with pipeline_of(secure, tmp_path) as pipeline:
        given = {**login(secure, "PLAIN"), "sasl_password": Secret("not-the-password-of-anybody")}
        pipeline.change(**given)
        worker = pipeline.begin()
        await asyncio.to_thread(until, lambda: "uthentication" in worker.log.read_text(), "a refusal", SECONDS)
        worker.stop()
        assert "not-the-password" not in worker.log.read_text()
