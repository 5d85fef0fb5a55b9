"""Runs a worker in the foreground until SIGTERM or SIGINT."""

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
"""Thresholds of the garbage collector: new objects, and collections of each younger generation."""

END_SECONDS = 17.0
"""Maximum time from the signal to the end: a worker is gone within 20 s."""

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
        "repeats": {"()": "streams.log.RepeatFilter"},
        # Lines that repeat while a condition lasts; `streams.health.board` reports its cause.
        **{name: {"()": "streams.log.RepeatFilter", "logger": name, "every": 60.0} for name in RETRYING},
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
        # It logs a traceback per unreadable request: any client could fill the disk.
        "aiohttp.server": {"level": "CRITICAL"},
        "aiokafka": {"level": "WARNING"},
        # At info they show tables of partitions at each step of a rebalance; our lines state the outcome.
        "faust": {"level": "WARNING"},
        "mode": {"level": "WARNING"},
        **{name: {"level": "WARNING"} for name in RETRYING},
    },
}
"""Lines on stderr. No line holds a user id, an item id or a record's bytes."""


def _give_up() -> None:
    sys.stderr.write(
        f"ouzel worker: it could not shut down within {END_SECONDS:g} s of the signal and ends now. What was not "
        "committed is read again by the next worker.\n"
    )
    sys.stderr.flush()
    os._exit(1)


class _Foreground(faust.Worker):
    """A worker that ends when it cannot start: Faust would wait for ever for parts that never started."""

    def _schedule_shutdown(self, signal: Any) -> None:
        # Every part has a deadline; this one holds whatever is unavailable.
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
    """Raise `BadSetting` if the worker's pages cannot listen at their address."""
    host, port = settings.web.host, settings.web.port
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise BadSetting(
            f"Nothing can listen on {host} port {port}: {error}. "
            f"Set {variable('web_port')} to a free port, or {variable('web_host')} to an address of this machine."
        ) from None


def run(make_scorer: Callable[[Settings], Scorer | None] | None = None) -> int:
    """Run a worker with the settings of the environment until SIGTERM or SIGINT.

    `make_scorer` creates the client of the model once the event loop runs; without one, lists are behavioural. Returns
    the exit status: 0 after a signal, 1 after a crash or a shutdown that took too long, 2 if a setting cannot be used.
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
    # Imported modules stay. Contexts live long and have no cycles: with the default thresholds, the collector scans
    # them repeatedly as they grow, which took a quarter of the time of the fold.
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
