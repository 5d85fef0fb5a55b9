"""`ouzel mapping`."""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import click

from deploy.commands.options import BROKERS, TIMEOUT, WithSettings, connection
from deploy.errors import DeployError
from deploy.local.terminal import say

MAPPING_SETTINGS = (
    "brokers",
    "app_id",
    "security",
    "mapping",
    "mapping_group",
    "mapping_port",
    "mapping_registry",
    "mapping_registry_user",
    "oldest_event",
)


class WithMappingSettings(WithSettings):
    settings = MAPPING_SETTINGS


FILE = click.argument("file", envvar="OUZEL_MAPPING")


@click.group()
def mapping() -> None:
    """Turn the records of other topics into events and items, and lists into JSON for others."""


@mapping.command("run", cls=WithMappingSettings)
@FILE
@TIMEOUT
def mapping_run(file: str, timeout: float) -> None:
    """Read the topics of a mapping file, and write events, items, and lists for others.

    Runs until SIGTERM or Ctrl-C, beside the workers and in a separate consumer group. Several processes share the
    partitions. FILE is by default that of OUZEL_MAPPING. Configured by environment variables; use the workers'
    OUZEL_OLDEST_EVENT. Records that do not fit go to ouzel.dead-letters. Topics that are read are never changed.
    """
    from deploy.mapping.run import run

    sys.exit(run(file, timeout=timeout))


@mapping.command("check")
@FILE
@click.option("--topic", metavar="NAME", help="Try the newest records of this topic, or take those of --file for its.")
@click.option(
    "--file",
    "sample",
    metavar="SAMPLE",
    type=click.Path(path_type=Path),
    help="Try the lines of this file, each the value of a record. Needs no broker.",
)
@click.option(
    "--key-delimiter",
    metavar="TEXT",
    default="",
    help="What separates key and value in a line of --file, as kcat -K writes it. Without it, records have no key.",
)
@click.option(
    "--records",
    metavar="N",
    type=click.IntRange(1, 100_000),
    default=1_000,
    show_default=True,
    help="Records of --topic to try.",
)
@BROKERS
@TIMEOUT
def mapping_check(
    file: str, topic: str | None, sample: Path | None, key_delimiter: str, records: int, brokers: str, timeout: float
) -> None:
    """Check a mapping file, and show what it makes of records.

    Prints ten records before and after, then how many are mapped, skipped and rejected, and why. Sends nothing. Exits
    with 1 if the file cannot be used or a record is rejected.
    """
    from deploy.mapping.check import check
    from deploy.mapping.opening import open_mapping
    from deploy.mapping.samples import of_file, of_topic
    from streams.settings import read_settings

    found, schemas = open_mapping(file, read_settings())
    names = ", ".join(found.topics)
    if topic is None and sample is not None and len(found.topics) == 1:
        topic = names
    if topic is None and sample is not None:
        raise DeployError(f"say with --topic which topic the lines of {sample} are of: {names}.")
    if topic is not None and topic not in found.topics:
        raise DeployError(f"{file} maps no topic {topic}. It maps {names}.")
    if topic is None:
        written = ", ".join((*found.targets, *found.lists))
        say(f"{file} maps {names} to {written}. --topic or --file tries it on records.")
        return
    now_ms = time.time_ns() // 1_000_000

    async def tried(name: str) -> int:
        given: Any = of_file(sample, name, key_delimiter, now_ms) if sample is not None else None
        if given is None:
            given = await of_topic(brokers, name, records, connection(), timeout)
        return await check(found, schemas, given, now_ms, say)

    if asyncio.run(tried(topic)):
        sys.exit(1)
