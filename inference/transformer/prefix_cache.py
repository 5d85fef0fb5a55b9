"""The keys and values of people's prefixes, kept between requests: least recently used goes first, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence

from inference.transformer.attention import PrefixState
from inference.transformer.packing import common_length


class PrefixCache:
    """At most `max_bytes` of prefix states, one a key. Not thread-safe: it belongs to one engine.

    A state larger than the whole bound is not kept. With `max_bytes=0` nothing is.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._states: OrderedDict[Hashable, PrefixState] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._states)

    def longest(self, key: Hashable, tokens: Sequence[int]) -> tuple[PrefixState | None, int]:
        """The state under `key` if it begins as `tokens` do, and how many tokens they share from the first."""
        state = self._states.get(key)
        shared = 0 if state is None else common_length(state.tokens, tokens)
        if shared == 0:
            return None, 0
        self._states.move_to_end(key)
        return state, shared

    def peek(self, key: Hashable) -> tuple[int, ...] | None:
        """The tokens kept under `key`, without counting as use."""
        state = self._states.get(key)
        return None if state is None else state.tokens

    def put(self, key: Hashable, state: PrefixState) -> None:
        """Keep `state` under `key`, in place of what was there, and drop the least recently used beyond the bound."""
        self._drop(key)
        if state.size > self._max_bytes:
            return
        self._states[key] = state
        self._bytes += state.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._states)))

    def forget(self, keys: Iterable[Hashable] | None) -> None:
        """Drop what is kept under these keys, if anything is, or under all (None)."""
        for key in list(self._states) if keys is None else keys:
            self._drop(key)

    def clear(self) -> None:
        self._states.clear()
        self._bytes = 0

    def _drop(self, key: Hashable) -> None:
        state = self._states.pop(key, None)
        if state is not None:
            self._bytes -= state.size
