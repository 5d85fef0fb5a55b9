"""Run `ouzel mapping run` in the foreground until SIGTERM or SIGINT."""

import asyncio
import logging.config
import os
import signal

from deploy.kafka.asking import asking, ended
from deploy.kafka.rights import check_topics
from deploy.mapping.opening import open_mapping
from schemas.topics import DEAD_LETTERS, RECOMMENDATIONS
from streams.agents.mapping import Mapper
from streams.agents.mapping_metrics import MappingMetrics
from streams.health.pages import Pages
from streams.kafka.connection import client_options
from streams.kafka.fetcher import Reader
from streams.mapping.mapping import Mapping
from streams.private import UMASK
from streams.settings import Settings, read_settings


def run(file: str, *, timeout: float) -> int:
    """Map with the environment's settings; returns the exit status. Raises `DeployError` and `StreamsError`."""
    settings = read_settings()
    os.umask(UMASK)
    asyncio.run(_run(file, settings, timeout))
    return 0


async def _run(file: str, settings: Settings, timeout: float) -> None:
    metrics = MappingMetrics()
    mapping, schemas = open_mapping(file, settings, metrics)
    metrics.preset(mapping.topics)
    await _check(settings, mapping, timeout)
    from streams.worker import LOGGING  # noqa: PLC0415 - imports Faust

    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).propagate = True  # this command is a service: its operators read the log
    logging.config.dictConfig(LOGGING)
    mapper = Mapper(settings, mapping, schemas, metrics=metrics)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port = settings.mapping.port
    pages = Pages(port, metrics.registry, "mapping_port", lambda: mapper.unserved) if port else None
    try:
        await mapper.follow(stop)
    finally:
        if pages is not None:
            pages.close()


async def _check(settings: Settings, mapping: Mapping, timeout: float) -> None:
    """Raise `DeployError` if the brokers do not answer, or a topic of Ouzel is missing or may not be seen."""
    kafka, rights = settings.kafka, dict.fromkeys((*mapping.targets, DEAD_LETTERS.name), "Write")
    if mapping.lists:
        rights[RECOMMENDATIONS.name] = "Read"
    async with asking(kafka.brokers, client_options(kafka), seconds=timeout, rights=rights):
        consumer = Reader(**client_options(kafka))
        try:
            await consumer.start()
            await check_topics(consumer, kafka.brokers, client_options(kafka), rights)
        finally:
            await ended(consumer)
