"""An LRU cache of the keys and values of users' prefixes, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence

from inference.transformer.attention import PrefixState
from inference.transformer.packing import common_length


class PrefixCache:
    """Holds at most `max_bytes` of prefix states, one per key. Not thread-safe: it belongs to one engine.

    A state larger than the whole bound is not cached. `max_bytes=0` disables the cache.
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
        """The state under `key` if it shares a prefix with `tokens`, and the length of that prefix."""
        state = self._states.get(key)
        shared = 0 if state is None else common_length(state.tokens, tokens)
        if shared == 0:
            return None, 0
        self._states.move_to_end(key)
        return state, shared

    def peek(self, key: Hashable) -> tuple[int, ...] | None:
        """The tokens cached under `key`, without marking it as used."""
        state = self._states.get(key)
        return None if state is None else state.tokens

    def put(self, key: Hashable, state: PrefixState) -> None:
        """Set the state of `key`, and evict the least recently used states beyond the bound."""
        self._drop(key)
        if state.size > self._max_bytes:
            return
        self._states[key] = state
        self._bytes += state.size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._states)))

    def forget(self, keys: Iterable[Hashable] | None) -> None:
        """Drop the states of these keys, if any, or of all (None)."""
        for key in list(self._states) if keys is None else keys:
            self._drop(key)

    def clear(self) -> None:
        self._states.clear()
        self._bytes = 0

    def _drop(self, key: Hashable) -> None:
        state = self._states.pop(key, None)
        if state is not None:
            self._bytes -= state.size
