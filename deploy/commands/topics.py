"""`ouzel topics`."""

import asyncio

import click

from deploy.commands.options import BROKERS, TIMEOUT, connection
from deploy.local.terminal import say

PARTITIONS = click.IntRange(1, 10_000)


@click.group()
def topics() -> None:
    """Create or list Ouzel's topics."""


@topics.command("create")
@BROKERS
@click.option(
    "--events-partitions",
    metavar="N",
    type=PARTITIONS,
    default=4,
    show_default=True,
    help="Partitions of topics keyed by user: at most this many workers share the users.",
)
@click.option(
    "--items-partitions",
    metavar="N",
    type=PARTITIONS,
    default=4,
    show_default=True,
    help="Partitions of topics keyed by item: at most this many workers share the item graph.",
)
@click.option(
    "--replication",
    metavar="N",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Copies of each record. Use 3 in production.",
)
@TIMEOUT
def topics_create(
    brokers: str, events_partitions: int, items_partitions: int, replication: int, timeout: float
) -> None:
    """Create the topics that do not exist yet.

    Choose the number of partitions with care: Ouzel cannot change it later.
    """
    from deploy.kafka.topics import create

    created = asyncio.run(
        create(
            brokers,
            events_partitions=events_partitions,
            items_partitions=items_partitions,
            replication=replication,
            connection=connection(),
            timeout=timeout,
        )
    )
    for name in created:
        say(f"created {name}")
    say(f"{len(created)} topics created; all others already existed")


@topics.command("list")
@BROKERS
@TIMEOUT
def topics_list(brokers: str, timeout: float) -> None:
    """List the topics with their partitions and cleanup policy."""
    from deploy.kafka.topics import describe

    unknown = "? (showing it needs the DescribeConfigs right)"
    for topic in asyncio.run(describe(brokers, connection(), timeout)):
        partitions = f"{topic.partitions} partitions" if topic.partitions else "missing: run `ouzel topics create`"
        policy = topic.policy or (unknown if topic.partitions else "?")
        say(f"{topic.name:28} {partitions:16} {policy:8} {'internal' if topic.internal else ''}")
