"""Lists for users with up to two likes beside popularity: `python -m tests.benchmarks.newcomers [films|sparse|books]`.

Lists without a model, along the stream: by the priors of the blend alone, and by the blend that learns from there.
Tests are every like of a newcomer after the first tenth of the events, and a quarter of those of others. Prints HR@10
and the paired difference from popularity with its 95% interval over users. `--limit` uses the first events only.

`sparse` is an eighth of MovieLens-100K, drawn by user and film; `--events` reads a file. `--prior likes=0.1,trend=0`
tries other priors.
"""

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import xxhash

from deploy.datasets.dataset import Dataset, films, from_files, likes
from deploy.evaluation.live_ranking import LEARN_FROM, Core
from inference.evaluation.baselines import Popularity
from inference.evaluation.draws import TIES_KEY, drawn
from inference.evaluation.intervals import interval
from inference.evaluation.protocol import DEPTH
from streams.fold.context import EMPTY
from streams.ranking.blend import Blend, learn
from tests.support.simulated_books import Shop, simulated

NEWCOMER = 2
"""A newcomer has liked this many items at most."""

WARM_UP, SHARE, DRAW = 0.1, 0.25, 7
POPULARITY, FIRST, LEARNED = "popularity", "prior", "learned"


class Tests:
    """Hits of each method, and who each test is of."""

    def __init__(self) -> None:
        self.hits: dict[str, list[bool]] = defaultdict(list)
        self.users: list[str] = []
        self.new: list[bool] = []

    def lines(self) -> list[str]:
        new, users = np.array(self.new), np.unique(self.users, return_inverse=True)[1]
        found = []
        for label, which in (("newcomers", new), ("others", ~new)):
            floor = np.array(self.hits[POPULARITY], np.float64)[which]
            for method, row in self.hits.items():
                hits = np.array(row, np.float64)[which]
                gain = interval(hits - floor, users[which])
                between = "" if gain.low is None else f" ({gain.low:+.4f} to {gain.high:+.4f})"
                beside = "" if method == POPULARITY else f", less popularity {gain.mean:+.4f}{between}"
                mean = hits.mean() if len(hits) else 0.0
                found.append(f"{label}, {which.sum():,} tests, {method}: HR@{DEPTH} {mean:.4f}{beside}")
        return found


def judged(dataset: Dataset, limit: int | None, prior: dict[str, float]) -> Tests:
    """Rank before each test, then learn."""
    stream = dataset.stream(0, limit)
    core, popularity, tests = Core(dataset.items), Popularity(), Tests()
    popularity.offer([item.id for item in dataset.items])
    ranker = core.ranker
    usual = ranker.fit(Blend())
    weights = tuple(prior.get(name, weight) for name, weight in zip(usual.names, usual.weights, strict=True))
    first = learned = Blend(usual.names, weights, usual.squares)
    liked_by: Counter[str] = Counter()
    met: dict[str, set[str]] = defaultdict(set)
    for at, event in enumerate(stream):
        liked, item = likes(event), event.item or ""
        if liked and item not in met[event.user]:
            new = liked_by[event.user] <= NEWCOMER
            test = at >= WARM_UP * len(stream) and (new or drawn(event, DRAW) < SHARE)
            chosen = None
            if test or at >= LEARN_FROM:
                context = core.contexts.get(event.user, EMPTY)
                chosen = ranker.shortlist(ranker.prepare(context, event.scene, now_ms=event.ts), learned)
            if test and chosen is not None:
                tests.users.append(event.user)
                tests.new.append(new)
                place = popularity.order(event.user, event.ts).place(item, drawn(event, TIES_KEY))
                tests.hits[POPULARITY].append(0 <= place < DEPTH)
                for name, blend in ((FIRST, first), (LEARNED, learned)):
                    listed = ranker.leading(ranker.reorder(chosen, blend), blend, DEPTH)
                    tests.hits[name].append(item in listed)
            if chosen is not None and at >= LEARN_FROM:
                learned = learn(learned, ranker.remember(chosen), item)
        liked_by[event.user] += liked
        met[event.user].add(item)
        core.learn(event, liked=False)  # the core's own blend is not used
        popularity.learn(event.user, item, liked, event.ts)
    return tests


def main() -> None:
    parser = argparse.ArgumentParser(description="Lists for users with up to two likes, beside popularity.")
    parser.add_argument("data", nargs="?", choices=("films", "sparse", "books"), default="sparse")
    parser.add_argument("--events", type=Path, help="read events from a file instead")
    parser.add_argument("--items", type=Path, help="their catalogue")
    parser.add_argument("--books", type=int, default=Shop.books, help="books of the simulated shop")
    parser.add_argument("--limit", type=int, help="use the first N events")
    parser.add_argument("--prior", default="", help="priors to try, as name=weight, comma-separated")
    chosen = parser.parse_args()
    if chosen.events is not None:
        dataset = from_files(chosen.events, chosen.items)
    elif chosen.data == "books":
        dataset = simulated(Shop(books=chosen.books))
    else:
        dataset = films() if chosen.data == "films" else sparse(films())
    pairs = (pair.split("=") for pair in chosen.prior.split(",") if pair)
    prior = {name: float(weight) for name, weight in pairs}
    print(dataset.note)
    print("\n".join(judged(dataset, chosen.limit, prior).lines()))


def sparse(dataset: Dataset) -> Dataset:
    """An eighth of the events, the same for everybody."""
    kept = tuple(
        event for event in dataset.events if xxhash.xxh3_64_intdigest(f"{event.user}|{event.item}".encode()) % 8 == 0
    )
    return Dataset(dataset.items, kept, f"an eighth of {dataset.note}")


if __name__ == "__main__":
    main()
