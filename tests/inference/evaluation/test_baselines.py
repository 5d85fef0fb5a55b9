"""The baselines, compared with their definitions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.evaluation.baselines import DAY_MS, DecayedPopularity, ItemKnn, Markov, Popularity

ALL = [Popularity, DecayedPopularity, Markov, ItemKnn]
EVENTS = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cy"]), st.sampled_from("abcdefgh"), st.booleans()), max_size=50
)


def best(method, user, k):
    """The `k` best items that the user has not met; ties by id."""
    order = method.order(user)
    items = [item for item in method._numbers if order.place(item, 0.0) >= 0]
    return sorted(items, key=lambda item: (order.place(item, 0.0), item))[:k]


def taught(method, events):
    for at, (user, item, liked) in enumerate(events):
        method.learn(user, item, liked, at * 1000)
    return method


@pytest.mark.parametrize("kind", ALL)
@given(events=EVENTS, k=st.integers(0, 12))
def test_list_holds_each_unseen_item_once(kind, events, k):
    method = taught(kind(), events)
    met = {item for user, item, _ in events if user == "ann"}
    known = {item for _, item, _ in events}
    ranked = best(method, "ann", k)
    assert len(ranked) == len(set(ranked)) == min(k, len(known - met))
    assert set(ranked) <= known - met


@pytest.mark.parametrize("kind", ALL)
def test_catalogue_items_are_ranked_without_changing_state(kind):
    method = kind()
    method.offer(["a", "b", "c"])
    assert best(method, "ann", 3) == ["a", "b", "c"]
    method.learn("bob", "c", True)
    assert best(method, "ann", 3) == best(method, "ann", 3)
    assert best(method, "ann", 1) == ["c"]


@given(EVENTS)
def test_popularity_is_the_number_of_likes(events):
    likes = {item: 0 for _, item, _ in events}
    for _, item, liked in events:
        likes[item] += liked
    ranked = best(taught(Popularity(), events), "nobody", 8)
    assert [likes[item] for item in ranked] == sorted(likes.values(), reverse=True)


def test_decayed_popularity_decays():
    method = DecayedPopularity(half_life_ms=DAY_MS)
    for n in range(3):
        method.learn(f"u{n}", "old", True, 0)
    method.learn("u9", "new", True, 2 * DAY_MS)
    assert best(method, "ann", 2) == ["new", "old"]
    assert best(taught(Popularity(), [("u", "old", True), ("u", "old", True), ("v", "new", True)]), "ann", 1) == ["old"]


def test_markov_follows_the_last_item():
    method = taught(
        Markov(), [("u", "a", False), ("u", "b", True), ("v", "a", True), ("v", "b", True), ("w", "c", True)]
    )
    method.learn("x", "c", True)
    method.learn("x", "d", True)
    method.learn("ann", "a", False)
    assert best(method, "ann", 1) == ["b"]
    method.learn("ann", "c", False)
    assert best(method, "ann", 1) == ["d"]


@given(EVENTS)
def test_item_knn_sums_the_shrunk_cosine_over_the_last_likes(events):
    met: dict[str, list[str]] = {}
    liked: dict[str, list[str]] = {}
    for user, item, like in events:
        met.setdefault(user, []).append(item)
        if like:
            liked.setdefault(user, []).append(item)
    users = {item: {user for user, items in met.items() if item in items} for _, item, _ in events}

    def score(item: str) -> float:
        pairs = [(len(users[item] & users[like]), like) for like in liked.get("ann", [])[-10:]]
        return sum(both / (math.sqrt(len(users[item]) * len(users[like])) + 20.0) for both, like in pairs)

    ranked = best(taught(ItemKnn(), events), "ann", 8)
    scores = [score(item) for item in ranked]
    assert scores == pytest.approx(sorted((score(i) for i in users if i not in met.get("ann", [])), reverse=True))


@pytest.mark.parametrize("kind", [Markov, ItemKnn])
def test_items_beyond_the_bound_are_ranked_by_their_number_of_users(kind):
    method = kind(max_items=64)
    for n in range(80):
        method.learn(f"u{n % 5}", f"i{n}", True)
    method.learn("v", "i79", True)
    assert len(best(method, "ann", 100)) == 80
    assert best(method, "ann", 1) == ["i79"]
