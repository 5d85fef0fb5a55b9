"""`ouzel models`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.commands.learn import CONTROL_KEY, LOG, REPOSITORY, TRITON, VERSIONS
from deploy.commands.options import BROKERS, TIMEOUT, connection
from deploy.commands.parameters import Real
from deploy.local.terminal import Terminal, say

if TYPE_CHECKING:
    from deploy.learning.by_hand import Desk
    from inference.versions.state import State

NUMBER = click.IntRange(1, 2**31 - 1)
FORCE = click.option("--force", is_flag=True, help="Also with a failed gate, or without having been judged.")


def with_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that change roles."""
    for option in reversed((VERSIONS, REPOSITORY, TRITON, CONTROL_KEY, BROKERS, TIMEOUT)):
        command = option(command)
    return command


@click.group()
def models() -> None:
    """List the versions of the model, and change which of them make lists."""


@models.command("list")
@VERSIONS
@BROKERS
@TIMEOUT
def models_list(versions: Path, brokers: str, timeout: float) -> None:
    """List the versions, newest first: where each stands, and why.

    The hit ratio is compared with the champion's on the same likes, with its interval.
    """
    from deploy.learning.tables import listing
    from inference.versions.rules import Rules
    from streams.clock import SYSTEM

    state = _facts(versions, brokers, timeout)
    Terminal().print(listing(state, Rules(), SYSTEM.now_ms()))


@models.command("show")
@click.argument("number", type=NUMBER, required=False)
@click.option(
    "--event",
    metavar="PARTITION:OFFSET",
    help="Instead: say which versions learned this record, or were trained from one that did.",
)
@click.option(
    "--topic", metavar="TOPIC", default="ouzel.events", show_default=True, help="With --event: the record's topic."
)
@LOG
@VERSIONS
@BROKERS
@TIMEOUT
def models_show(
    number: int | None, event: str | None, topic: str, log: str, versions: Path, brokers: str, timeout: float
) -> None:
    """Show one version: what it learned, the results of its gates, what happened to it, and how many lists it made.

    The lists are those that the training log has feedback on.
    """
    from deploy.learning.tables import details, learned_by
    from inference.versions.rules import Rules
    from streams.clock import SYSTEM

    if (number is None) == (event is None):
        raise click.UsageError("give a version's number, or --event")
    state = _facts(versions, brokers, timeout)
    if event is not None:
        partition, colon, offset = event.partition(":")
        if not (colon and partition.isdecimal() and offset.isdecimal()):
            raise click.UsageError(f"--event takes PARTITION:OFFSET, like 3:15312, not {event}")
        found = learned_by(state, topic, int(partition), int(offset))
        say(f"{topic} {event} was learned by {', '.join(map(str, found)) or 'no version'}")
        return
    assert number is not None
    _check(state, number)
    Terminal().print(details(state, number, Rules(), SYSTEM.now_ms(), _lists(state, number, log)))


@models.command("diff")
@click.argument("left", type=NUMBER)
@click.argument("right", type=NUMBER)
@VERSIONS
@BROKERS
@TIMEOUT
def models_diff(left: int, right: int, versions: Path, brokers: str, timeout: float) -> None:
    """Show two versions side by side."""
    from deploy.learning.tables import differences

    state = _facts(versions, brokers, timeout)
    for number in (left, right):
        _check(state, number)
    Terminal().print(differences(state, left, right))


@models.command("shadow")
@click.argument("number", type=NUMBER)
@FORCE
@with_server
def models_shadow(number: int, force: bool, **places: Any) -> None:
    """Compare version NUMBER with the champion on the same lists. No user sees its order."""
    _by_hand(lambda desk: desk.shadow(number, force=force), **places)


@models.command("canary")
@click.argument("number", type=NUMBER)
@click.option(
    "--share",
    metavar="X",
    type=Real(0.001, 0.5),
    default=0.1,
    show_default=True,
    help="Share of users who get its lists.",
)
@FORCE
@with_server
def models_canary(number: int, share: float, force: bool, **places: Any) -> None:
    """Have version NUMBER make the lists of a share of the users."""
    _by_hand(lambda desk: desk.canary(number, share, force=force), **places)


@models.command("promote")
@click.argument("number", type=NUMBER)
@FORCE
@with_server
def models_promote(number: int, force: bool, **places: Any) -> None:
    """Have version NUMBER make all lists."""
    _by_hand(lambda desk: desk.promote(number, force=force), **places)


@models.command("rollback")
@with_server
def models_rollback(**places: Any) -> None:
    """Take the newest step back.

    Withdraws the challenger. Without a challenger, the version that made lists before the champion makes them again.
    """

    async def step(desk: Desk) -> None:
        number = await desk.rollback()
        say(f"version {number} makes the lists")

    _by_hand(step, **places)


def _facts(versions: Path, brokers: str, timeout: float) -> State:
    from deploy.learning.running import facts
    from inference.versions.rules import Rules
    from inference.versions.store import VersionStore

    store, tell = VersionStore(versions), partial(say, err=True)
    return asyncio.run(facts(brokers, store, Rules(), connection=connection(), timeout=timeout, tell=tell))


def _lists(state: State, number: int, log: str) -> str:
    """How many lists a version made, or why that is not known."""
    from deploy.commands.lineage import opened
    from deploy.errors import expected
    from schemas.topics import FEEDBACK

    try:
        search = opened(log)
        if search is None:
            return f"Its lists are not counted: there is no training log in {log} (--log, OUZEL_TRAINING_LOG)."
        count = sum(search.lists_of(FEEDBACK.name, name) for name in state.names_of(number))
    except Exception as error:  # the rest can be shown
        reason = expected(error)
        if reason is None:
            raise
        return f"Its lists are not counted: {reason}"
    return f"Made {count:,} lists: those in the training log, whose attribution is over or that were reacted to."


def _check(state: State, number: int) -> None:
    from deploy.errors import DeployError

    if number not in state.versions:
        raise DeployError(f"there is no version {number} in the store. `ouzel models list` shows which there are.")


def _by_hand(
    step: Callable[[Desk], Awaitable[object]],
    versions: Path,
    repository: Path,
    triton: str,
    control_key: Path,
    brokers: str,
    timeout: float,
) -> None:
    from deploy.learning.parts import Places, server_of
    from deploy.learning.running import by_hand
    from inference.versions.rules import Rules
    from inference.versions.store import VersionStore
    from streams.clock import SYSTEM

    store = VersionStore(versions)
    places = Places("", store, repository, triton, control_key)
    asyncio.run(
        by_hand(
            brokers,
            store,
            server_of(places),
            step,
            rules=Rules(),
            connection=connection(),
            timeout=timeout,
            clock=SYSTEM,
            tell=say,
        )
    )
