"""A typed client of the HTTP API in a few lines: send an event, wait for the list that answers it, print it.

    python examples/client.py [URL]

Needs nothing but Python. The token is read from OUZEL_WEB_TOKEN.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any


class Problem(Exception):
    """The API refused a request; `retry` says whether the same request can succeed in a moment."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.retry = status in (429, 503)


@dataclass(frozen=True)
class Entry:
    item: str
    title: str
    reason: str


@dataclass(frozen=True)
class Recommended:
    """A list. `trigger` is the id of the event that it answers, None for one that was made on request."""

    entries: tuple[Entry, ...]
    trigger: str | None


@dataclass(frozen=True)
class Ouzel:
    """A worker's API at `url`."""

    url: str = "http://127.0.0.1:6066"
    token: str = ""
    seconds: float = 10.0

    def send(self, **event: Any) -> str:
        """Send an event; returns its id. Give it an `id` to send it again safely."""
        return str(self._ask("POST", "/v1/events", event)["ids"][0])

    def recommendations(self, user: str) -> Recommended:
        """The user's last list."""
        return _list(self._ask("GET", f"/v1/recommendations/{urllib.parse.quote(user, safe='')}"))

    def recommend(self, **wanted: Any) -> Recommended:
        """A list that is made now, for a `user` or for `likes` and `events`."""
        return _list(self._ask("POST", "/v1/recommend", wanted))

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is the caller's
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            with refused:
                raise Problem(refused.code, json.load(refused)["detail"]) from None


def _list(told: Any) -> Recommended:
    entries = tuple(Entry(one["item"], one["title"], one["reason"]["text"]) for one in told["entries"])
    return Recommended(entries, told["trigger"])


def main(url: str) -> None:
    ouzel = Ouzel(url, os.environ.get("OUZEL_WEB_TOKEN", ""))
    event = ouzel.send(user="ann", kind="like", item="film-1")
    deadline = time.monotonic() + 60
    while (made := ouzel.recommendations("ann")).trigger != event and time.monotonic() < deadline:
        time.sleep(0.1)
    for place, entry in enumerate(made.entries, start=1):
        print(f"{place}. {entry.title}: {entry.reason}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6066")
