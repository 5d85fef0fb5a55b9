"""Running a worker in the foreground until SIGTERM or SIGINT."""

from typing import Any

import faust

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "aiohttp.access": {"level": "WARNING"},
        "aiokafka": {"level": "WARNING"},
        # Its lines at info show tables of partitions at each step of a rebalance; ours say what came of it.
        "faust": {"level": "WARNING"},
        "mode": {"level": "WARNING"},
        "streams.transport": {"level": "WARNING"},
    },
}
"""Lines on stderr. No line holds a user id, an item id or a record's bytes."""


def run_worker(app: faust.App) -> int:
    """Run `app` until it is told to stop; the exit status: 0 after a signal, 1 after a crash."""
    worker = app.Worker(loglevel="info", logging_config=LOGGING, redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
