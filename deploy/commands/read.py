"""`ouzel read`."""

import asyncio
from contextlib import suppress

import click

from deploy.commands.options import BROKERS, TIMEOUT, connection
from deploy.commands.parameters import Id
from deploy.local.terminal import say_json


@click.command()
@click.argument("topic")
@BROKERS
@click.option("--key", metavar="ID", type=Id(), help="Print only the records of this user or item.")
@click.option("--follow", is_flag=True, help="Keep reading new records until Ctrl-C.")
@TIMEOUT
def read(topic: str, brokers: str, key: str | None, follow: bool, timeout: float) -> None:
    """Print the records of a topic as JSON lines.

    TOPIC is recommendations, feedback, dead-letters or any other topic of Ouzel, with or without the prefix "ouzel.".
    """
    from deploy.kafka.reader import named, read

    with suppress(KeyboardInterrupt):
        asyncio.run(
            read(brokers, named(topic), say_json, key=key, follow=follow, connection=connection(), timeout=timeout)
        )
