"""Prepare what comes next in a thread while the rest is worked on: tokenization off the critical path."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Raw = TypeVar("Raw")
Ready = TypeVar("Ready")


def ahead(prepare: Callable[[Raw], Ready], given: Iterable[Raw], depth: int = 1) -> Iterator[Ready]:
    """`prepare` of each of `given`, in order; up to `depth` of them are prepared ahead, in one thread.

    It pays where the caller's work leaves the interpreter alone, as a GPU does, or `prepare` does, as tokenizers do.
    What `prepare` raises comes where its result would have come. `prepare` never runs twice at once, and not again
    after the caller stopped asking.
    """
    if depth < 1:
        raise ValueError("at least one has to be prepared ahead: depth must be 1 or more")
    remaining = iter(given)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        under_way: deque[Future[Ready]] = deque(thread.submit(prepare, raw) for raw in islice(remaining, depth))
        try:
            while under_way:
                found = under_way.popleft().result()
                under_way.extend(thread.submit(prepare, raw) for raw in islice(remaining, 1))
                yield found
        finally:
            thread.shutdown(wait=True, cancel_futures=True)
