"""Fuzz the worker's pages: `python -m tests.fuzz.http --runs 20000 --seed 1`.

Valid requests are damaged, spliced and cut, and sent raw to the server of a worker without a broker. Each must be
answered with a status below 500, with 503 (not ready) or by closing the connection, and the pages must still answer at
the end. The three pages take no input but path, method and headers. Of the HTTP API this finds what breaks before its
checks; `tests/streams/api/test_hostile.py` finds what breaks after them.
"""

import argparse
import asyncio
import logging
import random
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fuzz.damage import damaged
from tests.support.pages import TOKEN, serving
from tests.support.patience import PATIENCE

ANSWER_SECONDS = 1.0
AT_ONCE = 32
PAGES = (b"/metrics", b"/healthz", b"/readyz", b"/", b"/nowhere", b"*", b"http://x/metrics", b"/%2e%2e/metrics")
API = (
    b"/v1/events",
    b"/v1/recommend",
    b"/v1/items/%00",
    b"/v1/users/a%2F..%2Fb/export",
    b"/v1/search?q=%ff&q=",
    b"/v1//",
)
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"GETS")
HEADERS = (
    b"Host: x",
    b"Authorization: Bearer " + TOKEN.encode(),
    b"Authorization: Bearer \xff\x00",
    b"Content-Length: 5",
    b"Content-Type: application/json",
    b"Origin: null",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: chunked",
    b"Connection: Upgrade",
    b"Expect: 100-continue",
    b"X: " + b"y" * 9_000,
    b"Range: bytes=0-",
    b"Cookie: a=b; c",
)


@asynccontextmanager
async def pages() -> AsyncIterator[int]:
    """Serve the pages of a worker behind its guard; yields the port."""
    with tempfile.TemporaryDirectory() as folder:
        async with serving(Path(folder), web_max_per_second=10_000, web_api="on") as served:
            yield served.port


def request(rng: random.Random) -> bytes:
    """A random request, sometimes damaged."""
    method = b"GET" if rng.random() < 0.7 else rng.choice(METHODS)
    line = b" ".join((method, rng.choice(PAGES if rng.random() < 0.6 else API), rng.choice((b"HTTP/1.1", b"HTTP/1.0"))))
    host = [] if rng.random() < 0.1 else [b"Host: x"]
    headers = host + [rng.choice(HEADERS) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    body = b"" if rng.random() < 0.7 else rng.choice((b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"x" * 4_000))
    whole = b"\r\n".join([line, *headers, b"", b""]) + body
    return damaged(whole, [whole], rng) if rng.random() < 0.3 else whole


async def answered(port: int, sent: bytes, seconds: float = ANSWER_SECONDS) -> str:
    """The status of the answer to a request; "ended" if the connection was closed, "waits" if the request is
    incomplete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(seconds):
            first = await reader.readline()
    except ConnectionError:
        return "ended"
    except TimeoutError:
        return "waits"  # for the rest of it
    finally:
        writer.close()
    if not first:
        return "ended"
    status = int(first.split()[1])
    assert status < 500 or status == 503, first  # 503: not ready
    return str(status)


async def run(runs: int, seed: int) -> Counter[str]:
    """Counts of the answers to `runs` requests. Raises `AssertionError`, with the request, on the first failure."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    async with pages() as port:
        for first in range(0, runs, AT_ONCE):
            sent = [request(rng) for _ in range(min(AT_ONCE, runs - first))]
            found = await asyncio.gather(*(answered(port, one) for one in sent), return_exceptions=True)
            for one, outcome in zip(sent, found, strict=True):
                if isinstance(outcome, BaseException):
                    raise AssertionError(f"{one.hex()} after {first} of seed {seed}: {outcome!r}") from outcome
                outcomes[outcome] += 1
        assert await answered(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", PATIENCE) == "200"
        assert await answered(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", PATIENCE) == "401"
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="how many requests to send (default 20,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed sends the same requests (default 1)")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)  # aiohttp logs every malformed request
    outcomes = asyncio.run(run(asked.runs, asked.seed))
    print(f"{asked.runs:,} requests of seed {asked.seed}; nothing broke")
    for outcome, count in outcomes.most_common():
        print(f"{count:>10,}  {outcome}")


if __name__ == "__main__":
    main()
