import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.transformer.attention import PrefixState
from inference.transformer.packing import common_length
from inference.transformer.prefix_cache import PrefixCache

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)


def state(ids: tuple[int, ...]) -> PrefixState:
    tensor = torch.zeros(1, len(ids), 2)
    return PrefixState(ids, (tensor,), (tensor.clone(),))


@given(st.lists(st.tuples(st.integers(0, 5), tokens), max_size=30), st.integers(0, 300))
def test_cache_holds_the_newest_prefixes_that_fit(puts: list[tuple[int, tuple[int, ...]]], bound: int) -> None:
    cache = PrefixCache(bound)
    order: dict[int, tuple[int, ...]] = {}
    for key, ids in puts:
        cache.put(key, state(ids))
        order.pop(key, None)
        if state(ids).size <= bound:
            order[key] = ids
        while sum(state(held).size for held in order.values()) > bound:
            order.pop(next(iter(order)))
        assert cache.size <= bound
        assert len(cache) == len(order)
        for held, expected in order.items():
            assert cache.peek(held) == expected


@given(tokens, tokens)
def test_longest_match_is_the_shared_prefix(held: tuple[int, ...], asked: tuple[int, ...]) -> None:
    cache = PrefixCache(10_000)
    cache.put("mine", state(held))
    found, shared = cache.longest("mine", asked)
    assert shared == common_length(held, asked)
    assert (found is None) == (shared == 0)
    assert cache.longest("another's", held) == (None, 0)


def test_recently_used_prefix_stays() -> None:
    size = state((1,)).size
    cache = PrefixCache(2 * size)
    cache.put("old", state((1,)))
    cache.put("new", state((2,)))
    cache.longest("old", (1,))
    cache.put("newest", state((3,)))
    assert (cache.peek("old"), cache.peek("new")) == ((1,), None)
