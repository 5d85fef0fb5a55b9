"""What a search costs: `python -m tests.benchmarks.search [--items N]`.

A synthetic catalogue of titles of four words and texts of 26, drawn by a Zipf law from a vocabulary of pronounceable
words, with one of 20 attributes each. Prints, for the index alone, the time to add an item and the memory by item. Then
follows, for kinds of queries, the time to find the matches, and to find and rank them for a user with 20 likes.
"""

import argparse
import random
from collections.abc import Callable
from statistics import median, quantiles
from sys import getsizeof
from time import perf_counter

import numpy as np

from schemas.events import Event, EventKind
from schemas.items import Item
from streams.fold.context import EMPTY, fold
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.search import SearchIndex, foremost, query
from streams.ranking.blend import Blend
from streams.ranking.ranker import Ranker
from streams.serving.searching import MAX_RANKED

NOW = 1_700_000_000_000
RUNS = 50
WORDS = 30


def synthetic(count: int, rng: random.Random) -> list[Item]:
    syllables = [f"{consonant}{vowel}" for consonant in "bcdfghjklmnprstvz" for vowel in "aeiou"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(min(60_000, 4 * count))]
    drawn = (np.random.default_rng(0).zipf(1.15, (count, WORDS)) % len(vocabulary)).tolist()
    texts = [[vocabulary[at] for at in row] for row in drawn]
    return [
        Item(id=f"i{n}", title=" ".join(text[:4]), text=" ".join(text[4:]), attributes=(f"genre{n % 20}",))
        for n, text in enumerate(texts)
    ]


def timed(work: Callable[[], object]) -> str:
    took = []
    for _ in range(RUNS):
        began = perf_counter()
        work()
        took.append((perf_counter() - began) * 1000)
    return f"{median(took):8.2f} ms, p95 {quantiles(took, n=20)[-1]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2_000)
    items = synthetic(parser.parse_args().items, random.Random(0))
    began, index = perf_counter(), SearchIndex()
    for number, item in enumerate(items):
        index.put(number, None, item)
    took, size = perf_counter() - began, getsizeof(index._postings) + getsizeof(index._sorted)
    size += sum(getsizeof(word) + getsizeof(postings) for word, postings in index._postings.items())
    print(f"{len(items):,} items: {took / len(items) * 1e6:.0f} µs and {size / len(items):.0f} bytes an item")
    catalogue = Catalogue()
    for item in items:
        catalogue.add(item)
    ranker, context = Ranker(catalogue, ItemGraph(catalogue.index)), EMPTY
    for number in range(20):
        like = Event(id=f"e{number}", user="u", kind=EventKind.LIKE, ts=NOW, item=f"i{number * 7}")
        context = fold(context, like, number)

    def ranked(text: str) -> None:
        some = foremost(index.find(query(text)), MAX_RANKED, ranker.graph.likes())
        ranker.among(some.numbers, context, "default", Blend(), now_ms=NOW)

    title = items[5].title
    for what, text in (
        ("one letter", "b"),
        ("two letters", "ba"),
        ("an attribute", "genre1"),
        ("a title", title),
        ("eight words", f"{title} {' '.join(items[5].text.split()[:4])}"),
    ):
        found = index.find(query(text))
        print(
            f"{what:13} {len(found.numbers):7,} match{'' if found.whole else ' at least':9}  find "
            f"{timed(lambda text=text: index.find(query(text)))}; find and rank {timed(lambda text=text: ranked(text))}"
        )


if __name__ == "__main__":
    main()
