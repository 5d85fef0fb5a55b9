"""A probe and a scraper: asks a worker for its pages at a steady rate and prints what each answer took, until ended.

A line of JSON for each: the page, the seconds from the moment at which it was due to its last byte, and its status (0:
none). One page is asked for once at a time: a slow answer stands for those as well that were due while it was awaited,
each from its own moment, so that it hides nothing.

    python -m tests.benchmarks.load.polling PORT
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterable

PAGES = ("/healthz", "/metrics")
PER_SECOND = 10
TIMEOUT_SECONDS = 60.0


def get(port: int, page: str, timeout: float = TIMEOUT_SECONDS) -> tuple[int, str]:
    """A page over a connection of its own, as a probe asks: its status and text. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def poll(port: int, page: str) -> None:
    """Ask for ever."""
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            status, _ = get(port, page)
        except (OSError, http.client.HTTPException):
            status = 0
        answered = time.monotonic()
        while due <= answered:
            sys.stdout.write(json.dumps([page, answered - due, status]) + "\n")
            due += 1 / PER_SECOND
        sys.stdout.flush()


def waits(lines: Iterable[str], page: str) -> list[float]:
    """Seconds that each answer of a page took, ascending, from the first good one on; infinite for those that failed
    after it."""
    found = [(seconds, status) for of, seconds, status in map(json.loads, lines) if of == page]
    first = next((at for at, (_, status) in enumerate(found) if status == 200), len(found))
    return sorted(seconds if status == 200 else float("inf") for seconds, status in found[first:])


def main() -> None:
    port = int(sys.argv[1])
    for page in PAGES:
        threading.Thread(target=poll, args=(port, page), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
