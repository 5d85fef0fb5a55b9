"""Run `ouzel log` in the foreground until SIGTERM or SIGINT."""

import asyncio
import logging.config
import os
import signal
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec

from deploy.errors import DeployError, MissingPart
from deploy.kafka.asking import Deadline, asking, ended
from deploy.kafka.rights import check_topics
from deploy.local.terminal import say
from schemas.topics import EVENTS, FEEDBACK, PRIVACY_RECEIPTS
from streams.kafka.connection import client_options
from streams.kafka.fetcher import Reader
from streams.private import UMASK
from streams.settings import Settings, read_settings

RIGHTS = {topic.name: "Read" for topic in (EVENTS, FEEDBACK, PRIVACY_RECEIPTS)}


def run(*, once: bool, timeout: float) -> int:
    """Log with the environment's settings; returns the exit status. Raises `DeployError` and `StreamsError`."""
    if find_spec("pyarrow") is None:
        raise MissingPart("pyarrow, which writes Parquet files,", "Run: pip install 'ouzel[files]'.")
    settings = read_settings()
    if not settings.training_log.root:
        raise DeployError(
            "there is no place for the training log: set OUZEL_TRAINING_LOG to a folder, or to s3://BUCKET/PREFIX."
        )
    os.umask(UMASK)
    from streams.worker import LOGGING  # noqa: PLC0415 - imports Faust

    logging.config.dictConfig(LOGGING)
    asyncio.run(_run(settings, once=once, timeout=timeout))
    return 0


async def _run(settings: Settings, *, once: bool, timeout: float) -> None:
    from streams.agents.training_log import TrainingLogger  # noqa: PLC0415 - needs pyarrow
    from streams.health.pages import Pages  # noqa: PLC0415

    await _check(settings, timeout)
    logger = TrainingLogger(settings)
    if once:
        async with _asking(settings, timeout) as deadline:
            rows = await logger.once(deadline.extend)
        say(f"logged {rows} rows")
        return
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = settings.training_log.port
    pages = Pages(port, logger.metrics.registry, "training_log_port") if port else None
    try:
        await logger.follow(stop)
    finally:
        if pages is not None:
            pages.close()


async def _check(settings: Settings, timeout: float) -> None:
    """Raise `DeployError` if the brokers do not answer, or a topic is missing or may not be read."""
    async with _asking(settings, timeout):
        consumer = Reader(**client_options(settings.kafka))
        try:
            await consumer.start()
            await check_topics(consumer, settings.kafka.brokers, client_options(settings.kafka), RIGHTS)
        finally:
            await ended(consumer)


def _asking(settings: Settings, timeout: float) -> AbstractAsyncContextManager[Deadline]:
    kafka = settings.kafka
    return asking(kafka.brokers, client_options(kafka), seconds=timeout, rights=RIGHTS)
