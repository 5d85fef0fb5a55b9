"""How long one list takes, and what a record of the item graph costs: `python -m tests.benchmarks.ranking`."""

from time import perf_counter

import numpy as np
from msgspec.structs import replace

from deploy.datasets import movielens
from schemas.codec import encode
from schemas.scoring import ItemVectors, Scores
from streams.fold.context import EMPTY, Context, fold
from streams.fold.covisits import covisits, messages
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from streams.ranking.blend import TRUSTED, Blend
from streams.ranking.drawing import Noise
from streams.ranking.modifiers import MODIFIERS
from streams.ranking.ranker import Ranker

EVENTS, USERS, ROUNDS = 40_000, 200, 5
WIDTH = 128
VECTOR = tuple(np.random.default_rng(1).normal(size=WIDTH).tolist())
_SHAPE = (len(Blend().names), len(MODIFIERS))
BLEND = replace(
    Blend(),
    modifiers=MODIFIERS,
    slopes=tuple(map(tuple, np.random.default_rng(2).normal(0, 0.1, _SHAPE).tolist())),
    slope_squares=tuple(map(tuple, np.ones(_SHAPE).tolist())),
    advantage=TRUSTED,
)
"""As learned: a blend without slopes takes less time."""


def main() -> None:
    catalogue, contexts = Catalogue(), dict[str, Context]()
    for film in movielens.items():
        catalogue.add(film)
    graph, events = ItemGraph(catalogue.index), movielens.events()[:EVENTS]
    begun = perf_counter()
    for offset, event in enumerate(events):
        before = contexts.get(event.user, EMPTY)
        for told in messages(0, covisits(before, event, offset, 0)):
            graph.learn(told)
        contexts[event.user] = fold(before, event, offset)
    print(f"fold and count an event: {(perf_counter() - begun) / EVENTS * 1e3:.3f} ms")
    asked = list(contexts.values())[:USERS] * ROUNDS
    ranker = Ranker(catalogue, graph)
    taken = [one_list(ranker, context, events[-1].ts) for context in asked]
    rows = dict(zip(("shortlist", "assemble", "compare"), np.array(taken).T, strict=True))
    describe(catalogue)
    rows["rescore, with a model's answer"] = np.array([answered(ranker, context, events[-1].ts) for context in asked])
    for name, column in rows.items():
        best, median = np.percentile(column * 1e3, (10, 50))
        print(f"{name}: median {median:.2f} ms, tenth percentile {best:.2f} ms, {len(catalogue)} items")
    records = graph.take_dirty()
    replica = ItemGraph(ItemIndex(), graph.counting)
    begun = perf_counter()
    for record in records:
        replica.load(record)
    size = np.mean([len(encode(record)) for record in records])
    print(f"load a new record: {(perf_counter() - begun) / len(records) * 1e3:.3f} ms, {size:,.0f} bytes each")


def one_list(ranker: Ranker, context: Context, now_ms: int) -> tuple[float, ...]:
    """Seconds for the shortlist, for the list, and for what a compared list takes besides."""
    begun = perf_counter()
    chosen = ranker.shortlist(ranker.prepare(context, "default", now_ms=now_ms), BLEND)
    shortlisted = perf_counter()
    ranker.assemble(chosen, BLEND, Noise("1"))
    assembled = perf_counter()
    ranker.compare(chosen, chosen, BLEND, count=10)
    return shortlisted - begun, assembled - shortlisted, perf_counter() - assembled


def describe(catalogue: Catalogue) -> None:
    """Give every item a random vector."""
    rng = np.random.default_rng(0)
    while waiting := catalogue.vectors.next(1_000):
        values = rng.normal(size=(len(waiting), WIDTH)).astype("<f4").tobytes()
        catalogue.vectors.put(waiting, ItemVectors(width=WIDTH, values=values, model_version="v1"))


def answered(ranker: Ranker, context: Context, now_ms: int) -> float:
    """Seconds for what a model's answer adds to the shortlist."""
    chosen = ranker.shortlist(ranker.prepare(context, "default", now_ms=now_ms), BLEND)
    count = len(ranker.question(chosen, session=1).candidates)
    scores = Scores(scores=tuple(range(count)), model_version="v1", vector=VECTOR)
    begun = perf_counter()
    ranker.rescore(chosen, scores, BLEND)
    return perf_counter() - begun


if __name__ == "__main__":
    main()
