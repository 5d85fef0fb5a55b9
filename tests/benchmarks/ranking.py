"""How long one list takes, and what a record of the item graph costs: `python -m tests.benchmarks.ranking`."""

from random import Random
from time import perf_counter

import numpy as np

from deploy.datasets import movielens
from schemas.codec import encode
from streams.fold.context import EMPTY, Context, fold
from streams.fold.covisits import covisits, messages
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from streams.ranking.blend import Blend
from streams.ranking.pipeline import Ranking, assemble, prepare, shortlist

EVENTS, PEOPLE, ROUNDS = 40_000, 200, 5


def main() -> None:
    catalogue, people = Catalogue(), dict[str, Context]()
    for film in movielens.items():
        catalogue.add(film)
    graph, events = ItemGraph(catalogue.index), movielens.events()[:EVENTS]
    begun = perf_counter()
    for offset, event in enumerate(events):
        before = people.get(event.user, EMPTY)
        for told in messages(0, covisits(before, event, offset, 0)):
            graph.learn(told)
        people[event.user] = fold(before, event, offset)
    print(f"fold and count an event: {(perf_counter() - begun) / EVENTS * 1e3:.3f} ms")
    asked = list(people.values())[:PEOPLE] * ROUNDS
    taken = [one_list(context, catalogue, graph, events[-1].ts) for context in asked]
    for name, column in zip(("shortlist", "assemble"), np.array(taken).T, strict=True):
        best, median = np.percentile(column * 1e3, (10, 50))
        print(f"{name}: median {median:.2f} ms, tenth percentile {best:.2f} ms, {len(catalogue)} items")
    records = graph.take_dirty()
    replica = ItemGraph(ItemIndex(), graph.counting)
    begun = perf_counter()
    for record in records:
        replica.load(record)
    size = np.mean([len(encode(record)) for record in records])
    print(f"load a new record: {(perf_counter() - begun) / len(records) * 1e3:.3f} ms, {size:,.0f} bytes each")


def one_list(context: Context, catalogue: Catalogue, graph: ItemGraph, now_ms: int) -> tuple[float, float]:
    """Seconds for the shortlist and for the list."""
    settings, blend = Ranking(), Blend()
    begun = perf_counter()
    prepared = prepare(context, "default", catalogue=catalogue, graph=graph, now_ms=now_ms, settings=settings)
    chosen = shortlist(prepared, blend, catalogue=catalogue, graph=graph)
    between = perf_counter()
    assemble(
        chosen,
        scene="default",
        catalogue=catalogue,
        blend=blend,
        settings=settings,
        rng=Random(1),
    )
    return between - begun, perf_counter() - between


if __name__ == "__main__":
    main()
