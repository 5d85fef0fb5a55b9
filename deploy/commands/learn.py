"""`ouzel learn`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec
from msgspec import Meta

from deploy.commands.options import BROKERS, TIMEOUT, WORK, connection
from deploy.commands.parameters import OutFile, OutFolder, Real
from deploy.learning.job import MOST_TESTS, TRAINING_SECONDS
from deploy.local.priority import NICENESS
from deploy.local.terminal import say
from inference.versions.rules import Rules

VERSIONS = click.option(
    "--versions",
    metavar="FOLDER",
    type=OutFolder(),
    default=WORK / "versions",
    show_default=True,
    envvar="OUZEL_VERSIONS",
    show_envvar=True,
    help="The store of versions.",
)
REPOSITORY = click.option(
    "--repository",
    metavar="FOLDER",
    type=OutFolder(),
    default=WORK / "models" / "repository",
    show_default=True,
    help="Triton's model repository, from `ouzel triton build`.",
)
TRITON = click.option(
    "--triton",
    metavar="HOST:PORT",
    default="127.0.0.1:8001",
    show_default=True,
    envvar="OUZEL_TRITON",
    show_envvar=True,
    help="gRPC address of `ouzel triton serve --model-control`.",
)
CONTROL_KEY = click.option(
    "--control-key",
    metavar="FILE",
    type=OutFile(make_folder=True),
    default=WORK / "triton-control.key",
    show_default=True,
    help="The key file of the server. OUZEL_TRITON_CONTROL_KEY overrides it.",
)
LOG = click.option(
    "--log",
    metavar="ROOT",
    envvar="OUZEL_TRAINING_LOG",
    show_envvar=True,
    default=str(WORK / "training-log"),
    show_default=True,
    help="The training log: a folder, or s3://BUCKET/PREFIX.",
)


def rule_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each field of `Rules`."""
    hints = get_type_hints(Rules, include_extras=True)
    for each in reversed(msgspec.structs.fields(Rules)):
        kind, meta = get_args(hints[each.name])
        assert isinstance(meta, Meta)
        assert meta.ge is not None
        assert meta.le is not None
        limits = click.IntRange(int(meta.ge), int(meta.le)) if kind is int else Real(meta.ge, meta.le)
        command = click.option(
            f"--{each.name.replace('_', '-')}",
            metavar="N" if kind is int else "X",
            type=limits,
            default=each.default,
            show_default=True,
            help=meta.description,
        )(command)
    return command


@click.command()
@click.option("--once", is_flag=True, help="Make and judge one version now, and end.")
@click.option(
    "--from",
    "parent",
    metavar="VERSION",
    type=click.IntRange(1, 2**31 - 1),
    show_default="the champion",
    help="With --once: the version that training starts from.",
)
@LOG
@VERSIONS
@REPOSITORY
@TRITON
@CONTROL_KEY
@BROKERS
@click.option("--device", default="cpu", show_default=True, help="Train on cpu or cuda.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 256),
    show_default="number of cores, at most 8",
    help="CPU threads of a training.",
)
@click.option(
    "--train-minutes",
    metavar="X",
    type=Real(0.1, 1_440),
    default=TRAINING_SECONDS / 60,
    show_default=True,
    help="No pass of a training begins after this: a slow machine trains less, not longer.",
)
@click.option(
    "--replay",
    metavar="SHARE",
    type=Real(0, 1),
    default=1.0,
    show_default=True,
    help="Share of the older events, at most 50,000, that each pass of a training repeats: fewer take less time.",
)
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    help="Learn from the newest N days of the training log.",
)
@click.option(
    "--newest",
    metavar="N",
    type=click.IntRange(1_000, 10_000_000),
    default=200_000,
    show_default=True,
    help="Of these days, at most the newest N events: about 1 KiB of memory each.",
)
@click.option(
    "--judged",
    metavar="N",
    type=click.IntRange(30, 100_000),
    default=MOST_TESTS,
    show_default=True,
    help="At most this many held-out likes, and as many logged decisions, judge a version.",
)
@click.option(
    "--group",
    metavar="LABEL",
    multiple=True,
    help="Also judge the likes of items with this attribute separately. May be repeated.",
)
@click.option(
    "--metrics-port", metavar="PORT", type=click.IntRange(1, 65_535), help="Serve Prometheus metrics on 127.0.0.1."
)
@rule_options
@TIMEOUT
def learn(
    once: bool,
    parent: int | None,
    log: str,
    versions: Path,
    repository: Path,
    triton: str,
    control_key: Path,
    brokers: str,
    device: str,
    threads: int | None,
    train_minutes: float,
    replay: float,
    days: int,
    newest: int,
    judged: int,
    group: tuple[str, ...],
    metrics_port: int | None,
    timeout: float,
    **rules: float,
) -> None:
    """Make better versions of the model from what users do, and take them live, until Ctrl-C.

    Trains from the champion on the training log, after enough new likes or time. A new version must pass its gates,
    then a comparison in shadow, then one as a canary; a worse one is withdrawn. See docs/guide/learning.md.

    It can be killed and started again at any moment. Versions with a role stay as they are while it does not run.
    """
    from deploy.errors import DeployError
    from deploy.learning import running
    from deploy.learning.parts import Places, parts_of
    from deploy.learning.store_facts import learning_alone
    from inference.versions.store import FIRST, VersionStore
    from streams.clock import SYSTEM

    try:
        chosen = Rules.make(**rules)
    except msgspec.ValidationError as error:
        raise click.UsageError(f"{error}.") from None
    if parent is not None and not once:
        raise click.UsageError("--from needs --once: without it, each version is trained from the champion")
    store = VersionStore(versions)
    if parent is not None and parent not in {FIRST, *store.numbers()}:
        raise DeployError(f"there is no version {parent} in {versions}. `ouzel models list` shows which there are.")
    places = Places(
        log=log,
        store=store,
        repository=repository,
        triton=triton,
        control_key=control_key,
        brokers=brokers,
        timeout=timeout,
        device=device,
        threads=threads,
        seconds=train_minutes * 60,
        replay=replay,
        days=days,
        most=newest,
        tests=judged,
        groups=group,
    )
    with learning_alone(store):
        if once:
            state = asyncio.run(
                running.facts(brokers, store, Rules(), connection=connection(), timeout=timeout, tell=say)
            )
            champion = state.lineup.champion.number if state.lineup.champion is not None else FIRST
            passed = asyncio.run(
                running.once(
                    store, parts_of(places), champion=champion, parent=parent or champion, clock=SYSTEM, tell=say
                )
            )
            number = store.numbers()[-1]
            say(f"version {number} is in {store.folder(number)}; compare it with `ouzel models shadow {number}`")
            sys.exit(0 if passed else 1)
        stopped = running.serve(
            brokers,
            store,
            parts_of(places),
            rules=chosen,
            connection=connection(),
            timeout=timeout,
            clock=SYSTEM,
            tell=say,
            metrics_port=metrics_port,
            niceness=NICENESS if device == "cpu" else 0,
        )
        asyncio.run(until_signal(stopped))
    say("stopped; start it again to go on from here")


async def until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends, or SIGTERM or Ctrl-C cancels it."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
