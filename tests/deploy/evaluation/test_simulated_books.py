"""The simulated bookshop: the same for a seed, with tastes that its texts tell."""

from collections import Counter
from itertools import pairwise

from deploy.datasets.dataset import likes
from tests.support.simulated_books import THEMES, Shop, simulated

SMALL = Shop(books=300, events=3_000)


def themes(text: str) -> set[str]:
    """The themes of which a text has words."""
    words = set(text.lower().replace("'s", "").replace(",", "").replace(".", "").replace(":", "").split())
    return {theme for theme, own in THEMES.items() if words & set(own.split())}


def test_same_seed_makes_the_same_shop() -> None:
    one, again, other = simulated(SMALL), simulated(SMALL), simulated(Shop(books=300, events=3_000, seed=1))
    assert (one.items, one.events) == (again.items, again.events)
    assert one.events != other.events
    assert all(a.ts <= b.ts for a, b in pairwise(one.events))
    assert {event.item for event in one.events} <= {item.id for item in one.items}
    assert len({(event.user, event.item) for event in one.events}) == len(one.events)


def test_texts_tell_what_readers_like() -> None:
    shop = simulated(SMALL)
    told = {book.id: themes(f"{book.title} {book.text}") for book in shop.items}
    assert min(map(len, told.values())) >= 1
    by_reader: dict[str, list[str]] = {}
    for event in filter(likes, shop.events):
        by_reader.setdefault(event.user, []).append(event.item or "")
    own, others = Counter[bool](), Counter[bool]()
    stranger = [books for books in by_reader.values() if len(books) > 3]
    for at, books in enumerate(stranger):
        for first, then in pairwise(books):
            own[bool(told[first] & told[then])] += 1
            others[bool(told[first] & told[stranger[at - 1][0]])] += 1
    assert own[True] / own.total() > 1.5 * others[True] / others.total()


def test_tastes_drift() -> None:
    """With much drift, late likes have less in common with the first ones than without."""

    def common(drift: float) -> float:
        shop = simulated(Shop(books=300, events=3_000, drift=drift))
        told = {book.id: themes(f"{book.title} {book.text}") for book in shop.items}
        by_reader: dict[str, list[str]] = {}
        for event in filter(likes, shop.events):
            by_reader.setdefault(event.user, []).append(event.item or "")
        long = [books for books in by_reader.values() if len(books) >= 10]
        return sum(bool(told[books[0]] & told[books[-1]]) for books in long) / len(long)

    assert common(0.0) > common(0.5) + 0.1
