"""`ouzel forget` and `ouzel pseudonym`."""

import asyncio
import sys

import click

from deploy.commands.options import BROKERS, connection
from deploy.commands.parameters import Id, Real
from deploy.local.terminal import say, say_json

ID = Id()


@click.command()
@click.argument("user", type=ID)
@click.pass_context
def pseudonym(context: click.Context, user: str) -> None:
    """Print the pseudonym under which a user is stored.

    Uses the key in OUZEL_PSEUDONYM_KEY. With "-" as USER, it reads one id per line from standard input and prints one
    pseudonym per line.
    """
    from streams.privacy.pseudonyms import alias_with
    from streams.settings import read_settings

    alias = alias_with(read_settings().privacy.pseudonym_key.reveal())
    for each in ID.read(context) if user == "-" else [user]:
        say(alias(each))


@click.command()
@click.argument("user", type=ID)
@BROKERS
@click.option(
    "--order",
    "order_id",
    metavar="ID",
    type=ID,
    show_default="random",
    help="Id of the order. Sending an order again is harmless.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=Real(min=0),
    default=60.0,
    show_default=True,
    help="Wait this long for the receipt.",
)
@click.pass_context
def forget(context: click.Context, user: str, brokers: str, order_id: str | None, timeout: float) -> None:
    """Erase everything about a user and print the receipt.

    USER is the id used in the events. With "-", it is read from standard input, which keeps it out of process lists.

    Exits with 1 if no receipt arrives in time. The order stays valid: its receipt will arrive on
    ouzel.privacy-receipts.
    """
    import uuid

    import msgspec

    from deploy.kafka.erasure import order
    from schemas.privacy import ErasureOrder
    from streams.clock import SYSTEM

    if user == "-":
        user = next(ID.read(context), "")
    erasure = ErasureOrder(id=order_id or uuid.uuid4().hex, user=user, ts=SYSTEM.now_ms())
    receipt = asyncio.run(order(brokers, erasure, timeout=timeout, connection=connection()))
    if receipt is None:
        say(
            f"sent erasure order {erasure.id}, but no receipt arrived within {timeout:g} s. Check that a worker runs.",
            err=True,
        )
        sys.exit(1)
    say_json(msgspec.json.encode(receipt).decode())
