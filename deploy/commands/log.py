"""`ouzel log`."""

import sys

import click

from deploy.commands.options import TIMEOUT, WithSettings

LOG_SETTINGS = (
    "brokers",
    "app_id",
    "security",
    "training_log",
    "training_log_days",
    "training_log_flush_s",
    "training_log_rows",
    "training_log_port",
    "pseudonym_key",
    "oldest_event",
)


class WithLogSettings(WithSettings):
    settings = LOG_SETTINGS


@click.command(cls=WithLogSettings)
@click.option("--once", is_flag=True, help="Log what is on the topics now, and exit.")
@TIMEOUT
def log(once: bool, timeout: float) -> None:
    """Write events and feedback to Parquet files, for training.

    Runs until SIGTERM or Ctrl-C, beside the workers and in a separate consumer group. Several processes share the
    partitions. Each record is in the files once, whatever is killed. Rows are removed when their retention ends and for
    erasure orders.

    Configured by environment variables: OUZEL_TRAINING_LOG names the folder or the object store. Use the workers'
    OUZEL_PSEUDONYM_KEY and OUZEL_OLDEST_EVENT.
    """
    from deploy.log import run

    sys.exit(run(once=once, timeout=timeout))
