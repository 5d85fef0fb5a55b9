"""`ouzel worker`."""

import sys

import click

from deploy.commands.options import WithSettings


@click.command(cls=WithSettings)
def worker() -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    Workers are configured by environment variables.
    """
    from deploy.worker import run

    sys.exit(run())
