"""A probe and a scraper: requests a worker's pages at a steady rate and prints the latency of each answer until killed.

Prints one line of JSON per request: the page, the seconds from the time at which it was due to its last byte, and its
status (0: none). Each page has one request in flight: a slow answer also counts for the requests that became due
meanwhile, each from its due time, which avoids coordinated omission.

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
    """Get a page over a new connection, like a probe: its status and text. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def poll(port: int, page: str) -> None:
    """Poll a page forever."""
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
    """The latencies of a page in seconds, ascending, from the first success on; infinite for later failures."""
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
