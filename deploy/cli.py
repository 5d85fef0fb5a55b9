"""The `ouzel` command. Each subcommand imports what it needs when it runs, so that `ouzel --help` is instant."""

import logging
import sys
import traceback

import click
from rich.text import Text

from deploy.commands.ask import ask
from deploy.commands.demo import demo
from deploy.commands.evaluate import evaluate
from deploy.commands.export import export
from deploy.commands.inspect_file import inspect_file
from deploy.commands.learn import learn
from deploy.commands.lineage import lineage
from deploy.commands.log import log
from deploy.commands.loop import loop
from deploy.commands.mapping import mapping
from deploy.commands.models import models
from deploy.commands.ope import ope
from deploy.commands.options import WORK
from deploy.commands.privacy import forget, pseudonym
from deploy.commands.read import read
from deploy.commands.replay import replay
from deploy.commands.topics import topics
from deploy.commands.train import train
from deploy.commands.triton import triton
from deploy.commands.worker import worker
from deploy.local.terminal import Terminal, say
from schemas.shown import shown
from streams.private import private_file

COMMANDS = (
    ask,
    demo,
    evaluate,
    export,
    forget,
    inspect_file,
    learn,
    lineage,
    log,
    loop,
    mapping,
    models,
    ope,
    pseudonym,
    read,
    replay,
    topics,
    train,
    triton,
    worker,
)

FAULTS = WORK / "fault.log"
"""The traceback of the latest bug."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ouzel", prog_name="ouzel")
@click.pass_context
def cli(context: click.Context) -> None:
    """Ouzel recommends items live from Kafka events, and says why.

    Try it: `ouzel demo`. To serve your own events, run `ouzel topics create`, `ouzel triton build`,
    `ouzel triton serve` and `ouzel worker`; then write to ouzel.events and read lists from ouzel.recommendations.
    """
    if context.invoked_subcommand not in ("worker", "log"):
        # Operators read the log of a service. Users of other commands get one sentence about what failed.
        for name in ("aiokafka", "asyncio"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line and turn every failure into one sentence, never a traceback.

    The traceback of a bug goes to `FAULTS`.
    """
    from deploy.errors import expected

    try:
        sys.exit(cli(prog_name="ouzel", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.message = shown(error.message)
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        say("Aborted!", err=True)
        sys.exit(1)
    except Exception as error:
        told = Text.assemble(("ouzel:", "red"), " ", shown(expected(error) or _fault(error)))
        Terminal(stderr=True).print(told, soft_wrap=True)
        sys.exit(1)


def _fault(error: Exception) -> str:
    """Write the traceback of a bug to `FAULTS`; return the sentence to show."""
    told = "".join(traceback.format_exception(error))
    try:
        WORK.mkdir(exist_ok=True)
        with open(FAULTS, "w", encoding="utf-8", opener=private_file) as file:
            file.write(told)
    except OSError:
        return f"this is a bug in Ouzel. Please report it:\n{told}"
    return f"{type(error).__name__}: this is a bug in Ouzel. Please report it with {FAULTS}."


if __name__ == "__main__":
    main()
