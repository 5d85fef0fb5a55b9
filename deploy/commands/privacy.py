"""`ouzel forget` and `ouzel pseudonym`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from deploy.commands.learn import LOG, VERSIONS
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
@LOG
@VERSIONS
@click.pass_context
def forget(
    context: click.Context,
    user: str,
    brokers: str,
    order_id: str | None,
    timeout: float,
    log: str,
    versions: Path,
) -> None:
    """Erase everything about a user and print the receipt.

    USER is the id used in the events. With "-", it is read from standard input, which keeps it out of process lists.

    To the receipt it adds learned_by, the versions of the model that learned from what the training log has of the
    user, and retrain, the command that trains a version without it. Both need the training log and the store.

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
    learned, why_not = _learned(user, log, versions)
    erasure = ErasureOrder(id=order_id or uuid.uuid4().hex, user=user, ts=SYSTEM.now_ms())
    receipt = asyncio.run(order(brokers, erasure, timeout=timeout, connection=connection()))
    if receipt is None:
        say(
            f"sent erasure order {erasure.id}, but no receipt arrived within {timeout:g} s. Check that a worker runs.",
            err=True,
        )
        sys.exit(1)
    say_json(msgspec.json.encode({**msgspec.to_builtins(receipt), **learned}).decode())
    if why_not:
        say(why_not, err=True)
    if "retrain" in learned:
        say(
            f"{len(learned['learned_by'])} versions learned from this user. To train one without the user: "
            f"{learned['retrain']}\nA training that runs now may have read the user's events too: when it has ended, "
            f"ask again with `ouzel lineage --order {erasure.id}`.",
            err=True,
        )


def _learned(user: str, log: str, versions: Path) -> tuple[dict[str, Any], str]:
    """What the receipt says of versions, from before the log is rewritten, or why it cannot say so."""
    from deploy.commands.lineage import names_of, opened
    from deploy.errors import expected

    try:
        search = opened(log)
        if search is None:
            return {}, (
                f"there is no training log in {log} (--log, OUZEL_TRAINING_LOG), so the receipt does not say which "
                "versions learned from the user"
            )
        from deploy.learning.lineage import of_user, retraining
        from inference.versions.store import VersionStore

        found = of_user(VersionStore(versions), search, names_of(user))
    except Exception as error:  # the order matters more
        reason = expected(error)
        if reason is None:
            raise
        return {}, f"the receipt does not say which versions learned from the user: {reason}"
    command = retraining(found)
    return {"learned_by": [each.number for each in found.learned]} | ({"retrain": command} if command else {}), ""
