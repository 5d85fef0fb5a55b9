"""Prepare the next values in a thread during work on the current one: tokenization off the critical path."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Raw = TypeVar("Raw")
Ready = TypeVar("Ready")


def prefetch(prepare: Callable[[Raw], Ready], given: Iterable[Raw], depth: int = 1) -> Iterator[Ready]:
    """Yield `prepare(x)` for each of `given`, in order, with up to `depth` of them prepared ahead in one thread.

    Useful if the caller's work releases the GIL, as on a GPU, or `prepare` does, as tokenizers do. Exceptions of
    `prepare` are raised in place of its result. `prepare` never runs concurrently with itself, nor after the caller
    stops iterating.
    """
    if depth < 1:
        raise ValueError("depth must be 1 or more")
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
