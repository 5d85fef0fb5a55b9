"""Running a worker in the foreground until SIGTERM or SIGINT."""

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import faust
from aiokafka.errors import KafkaConnectionError

from schemas.scoring import Scorer
from schemas.shown import shown
from streams.app import create_app
from streams.errors import BadSetting
from streams.private import UMASK
from streams.settings import Settings, read_settings, variable

COLLECT_AFTER = 50_000, 20, 100
"""Objects more than before, and collections of each younger generation, before the collector looks at one."""

END_SECONDS = 17.0
"""From the signal to the end at the latest: a worker is gone within 20 s."""

RETRYING = ("streams.kafka.consumer_thread", "streams.kafka.faust_transport")
"""Modules that log each failure of work that they retry. The others limit their lines (`streams.log_limit`)."""

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "streams.log_lines.LogLines",
            "format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        }
    },
    "filters": {
        "repeats": {"()": "streams.log.Repeats"},
        # What goes on for as long as a condition lasts, of which `streams.health.board` tells the cause.
        **{name: {"()": "streams.log.Repeats", "logger": name, "every": 60.0} for name in RETRYING},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["repeats", *RETRYING],
            "stream": "ext://sys.stderr",
        }
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "aiohttp.access": {"level": "WARNING"},
        # A traceback for each request that cannot be read: whoever reaches the port could fill the disk.
        "aiohttp.server": {"level": "CRITICAL"},
        "aiokafka": {"level": "WARNING"},
        # Its lines at info show tables of partitions at each step of a rebalance; ours say what came of it.
        "faust": {"level": "WARNING"},
        "mode": {"level": "WARNING"},
        **{name: {"level": "WARNING"} for name in RETRYING},
    },
}
"""Lines on stderr. No line holds a user id, an item id or a record's bytes."""


def _give_up() -> None:
    sys.stderr.write(
        f"ouzel worker: what it waits for did not answer within {END_SECONDS:g} s of the signal; it ends now. What was "
        "not committed is read again by the next worker.\n"
    )
    sys.stderr.flush()
    os._exit(1)


class _Foreground(faust.Worker):
    """A worker that ends when it cannot start: Faust would wait for ever for parts to stop that never began."""

    def _schedule_shutdown(self, signal: Any) -> None:
        # Everything has a deadline of its own; this holds whatever is unavailable, and whatever waits for it.
        timer = threading.Timer(END_SECONDS, _give_up)
        timer.daemon = True
        timer.start()
        super()._schedule_shutdown(signal)

    def stop_and_shutdown(self) -> None:
        start = self._starting_fut
        error = start.exception() if start is not None and start.done() and not start.cancelled() else None
        if error is not None:
            unreachable = isinstance(error, KafkaConnectionError)
            hint = f" Check that the broker runs, and {variable('brokers')}." if unreachable else ""
            sys.stderr.write(f"ouzel worker: could not start: {shown(str(error))}.{hint}\n")
            logging.shutdown()
            os._exit(1)
        super().stop_and_shutdown()


def _check_port(settings: Settings) -> None:
    """Raise `BadSetting` if nobody can listen where the worker's pages are to be."""
    host, port = settings.web.host, settings.web.port
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise BadSetting(
            f"Nothing can listen on {host} port {port}: {error}. "
            f"Set {variable('web_port')} to a free port, or {variable('web_host')} to an address of this machine."
        ) from None


def run(make_scorer: Callable[[Settings], Scorer | None] | None = None) -> int:
    """Run a worker with the settings of the environment until it is told to stop.

    `make_scorer` makes the client of the model, once the event loop runs; without one, lists are behavioural. Returns
    the exit status: 0 after a signal, 1 after a crash or where it could not end
    in time by itself, 2 if a setting cannot be used.
    """
    os.umask(UMASK)
    try:
        settings = read_settings()
        _check_port(settings)
        scorer = None if make_scorer is None else partial(make_scorer, settings)
        app = create_app(settings, make_scorer=scorer)
    except BadSetting as error:
        sys.stderr.write(f"ouzel worker: {shown(str(error))}\n")
        return 2
    worker = _Foreground(app, loglevel="info", logging_config=LOGGING, redirect_stdouts=False, quiet=True)
    # What has been imported stays. What is folded lives for long and has no cycles: looking through all of it, which
    # the collector's defaults do again and again as it grows, took a quarter of the time of the fold.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
