"""`ouzel lineage`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.commands.learn import LOG, VERSIONS
from deploy.commands.parameters import Id
from deploy.local.terminal import Terminal, say

if TYPE_CHECKING:
    from streams.training_log.searching import LogSearch

ID = Id()


@click.command()
@click.argument("user", type=ID, required=False)
@click.argument("event", type=ID, required=False)
@click.option(
    "--order", metavar="ID", type=ID, help="Instead: ask about what this erasure order removed from the training log."
)
@LOG
@VERSIONS
@click.pass_context
def lineage(
    context: click.Context, user: str | None, event: str | None, order: str | None, log: str, versions: Path
) -> None:
    """Say which versions of the model learned from an event, and how.

    USER is the id used in the events, or the pseudonym; EVENT is the event's id. With "-" as USER, it is read from
    standard input, which keeps it out of process lists. Also prints the lists that these versions made for the user, as
    far as the training log has feedback on them.

    Reads the store of versions and the training log only. Uses the key in OUZEL_PSEUDONYM_KEY, if any. Exits with 1 if
    the log does not have the event.
    """
    if (order is None) != (user is not None and event is not None) or (order is not None and user is not None):
        raise click.UsageError("give USER and EVENT, or --order")
    search = opened(log)
    if search is None:
        say(f"there is no training log in {log}: name its folder or URL with --log (OUZEL_TRAINING_LOG).", err=True)
        sys.exit(1)
    from deploy.learning.lineage import of_event, of_order
    from deploy.learning.lineage_table import printed
    from inference.versions.store import VersionStore

    store = VersionStore(versions)
    if order is not None:
        found = of_order(store, search, order)
    else:
        assert user is not None
        assert event is not None
        user = next(ID.read(context), "") if user == "-" else user
        found = of_event(store, search, names_of(user), event)
    Terminal().print(printed(found, store))


def opened(log: str) -> LogSearch | None:
    """The training log for searching; None if there is none. Raises `MissingPart`, and `LogFailed`."""
    from deploy.errors import MissingPart

    try:
        from streams.training_log.searching import LogSearch
    except ModuleNotFoundError as error:
        raise MissingPart(f"the reader of the training log ({error.name})", "pip install 'ouzel[files]'") from None
    search = LogSearch(log)
    return None if search.empty() else search


def names_of(user: str) -> frozenset[str]:
    """The names that a user may have in the training log: the id, and the pseudonym of OUZEL_PSEUDONYM_KEY."""
    from streams.privacy.pseudonyms import alias_with
    from streams.settings import read_settings

    return frozenset({user, alias_with(read_settings().privacy.pseudonym_key.reveal())(user)})
