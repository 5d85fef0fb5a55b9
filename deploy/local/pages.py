"""Read the HTTP pages of child processes, tolerating a slow machine.

If a page cannot be read in time, its last content is used; callers only display it or poll it. Only a page that has
not answered for `PATIENCE_SECONDS` is an error.
"""

import asyncio
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from deploy.errors import TooSlow

READ_SECONDS = 5.0
"""Timeout of one attempt."""

AGAIN_SECONDS = 0.25
"""Delay between two attempts."""

PATIENCE_SECONDS = 240.0
"""A page that gives no answer for this long is an error."""


class Page:
    """The page at `path` of the child `name` on a local port; errors name the child's `log`."""

    def __init__(
        self,
        name: str,
        port: int,
        path: str,
        log: Path,
        *,
        fetch: Callable[[int, str], str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._port = port
        self._path = path
        self._log = log
        self._fetch = fetch or get
        self._monotonic = monotonic
        self._text: str | None = None
        self._since = monotonic()

    async def read(self) -> str:
        """The current page or, if that fails, the last one read; waits for the first.

        Raises `TooSlow` if there was no answer for `PATIENCE_SECONDS`.
        """
        while not await self._renew() and self._text is None:  # noqa: ASYNC110 - no event comes from another program
            await asyncio.sleep(AGAIN_SECONDS)
        assert self._text is not None
        return self._text

    async def _renew(self) -> bool:
        try:
            self._text = await asyncio.to_thread(self._fetch, self._port, self._path)
        except (OSError, HTTPException):
            silent = self._monotonic() - self._since
            if silent > PATIENCE_SECONDS:
                raise TooSlow(
                    f"{self._name} has not answered {self._path} for {silent:.0f} s: it hangs, or this machine is "
                    f"overloaded. See {self._log}, stop other programs, and try again."
                ) from None
            return False
        self._since = self._monotonic()
        return True


def get(port: int, path: str) -> str:
    """The body of a local page. Raises OSError or HTTPException if it cannot be read within `READ_SECONDS`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=READ_SECONDS) as answer:
        return str(answer.read().decode())


def answers(port: int, path: str) -> bool:
    """Whether a page answers with success: a probe for `deploy.local.processes`."""
    get(port, path)
    return True


def number(page: str, metric: str, **labels: str) -> int:
    """The sum of a counter or gauge over its series with these labels, from a page of metrics."""
    families = [family for family in text_string_to_metric_families(page) if family.name == metric]
    samples = [s for family in families for s in family.samples if s.name in {metric, f"{metric}_total"}]
    return int(sum(s.value for s in samples if labels.items() <= s.labels.items()))
