"""What a challenger in shadow costs: event-to-list p50 and p99 with one and without, and processor time per list.

    python -m tests.benchmarks.shadow [--rate 20] [--lists 300] [--rounds 4] [--model-ms 5] [--busy]

The list path of one worker in memory, over MovieLens-100K, with a model that takes `--model-ms` a request. With
`--busy` the model computes for that time, one thread a request, so that it competes for the processor as a model on the
same machine does; else it waits. Rounds without and with a challenger alternate, with the same arrivals.
"""

import argparse
import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from random import Random

import numpy as np

from deploy.datasets import movielens
from inference.scorers.scripted import ScriptedScorer, ScriptedVersion
from schemas.scoring import Candidate, ItemVectors, ScoreRequest, Scores
from streams.fold.context import fold
from streams.items.catalogue import Catalogue
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.roles import name

WIDTH, USERS = 128, 200
BLOCK = b"\x00" * 65_536


def vector_of(number: int) -> Callable[[ScoreRequest | Candidate], Sequence[float]]:
    """A random vector of an item, and one of all contexts, that differ by version."""
    made: dict[str, list[float]] = {}

    def vector(of: ScoreRequest | Candidate) -> Sequence[float]:
        item = of.item if isinstance(of, Candidate) else ""
        if item not in made:
            made[item] = np.random.default_rng([number, *item.encode()]).normal(size=WIDTH).tolist()
        return made[item]

    return vector


class Model(ScriptedScorer):
    """Two versions, each taking `seconds` a request, waiting or computing."""

    def __init__(self, seconds: float, busy: bool) -> None:
        versions = {number: ScriptedVersion(name(number), vector_of=vector_of(number)) for number in (1, 2)}
        super().__init__(version=name(2), versions=versions)
        self._seconds = seconds
        self._busy = busy

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        if self._busy:
            await asyncio.to_thread(self._compute)
        else:
            await asyncio.sleep(self._seconds)
        return await super().score(request, timeout=timeout, number=number)

    def _compute(self) -> None:
        end = time.thread_time() + self._seconds
        while time.thread_time() < end:
            hashlib.sha256(BLOCK)  # releases the interpreter's lock


async def prepare(model: Model) -> Bench:
    """A list path with the catalogue and the past of `USERS` users, and version 1 as champion."""
    bench = Bench(model)
    catalogue: Catalogue = bench.lists._catalogue
    for number in range(40):
        catalogue.withdraw(f"film-{number}")
    for film in movielens.items():
        catalogue.add(film)
    for offset, event in enumerate(movielens.events()[:30_000]):
        user = str(int(hashlib.sha256(event.user.encode()).hexdigest(), 16) % USERS)
        bench.state.contexts[user] = fold(bench.state.context(user), event, offset, bench.state.marking)
    bench.offset = 30_000
    bench.gives("champion", 1)
    await describe(bench, model)
    return bench


async def describe(bench: Bench, model: Model) -> None:
    catalogue = bench.lists._catalogue
    for each in bench.live.described():
        while asked := each.vectors.next(64):
            items = [catalogue.described(number) for number in asked]
            answer: ItemVectors = await model.describe(items, timeout=1.0, number=each.number)
            each.vectors.put(asked, answer)
    bench.live.look()


async def measure(bench: Bench, rate: float, count: int, seed: int) -> list[float]:
    """Milliseconds from event to list of `count` lists at `rate` a second, with gaps drawn from `seed`."""
    rng, items = Random(seed), [film.id for film in movielens.items()]
    before = len(bench.sent)
    for _ in range(count):
        await asyncio.sleep(rng.expovariate(rate))
        bench.did(str(rng.randrange(USERS)), rng.choice(items))
    await bench.until(lambda: not bench.lists.busy())
    made = [one for one in bench.made()[-count:] if one.degraded is None]
    bench.sent = bench.sent[before:]
    return [one.freshness_ms for one in made]


async def run(args: argparse.Namespace) -> None:
    bench = await prepare(Model(args.model_ms / 1000, args.busy))
    found: dict[str, list[float]] = {"without": [], "with": []}
    spent = dict.fromkeys(found, 0.0)
    async with running(bench):
        await measure(bench, args.rate, 50, 0)
        for round_ in range(args.rounds):
            for which in ("without", "with"):
                if which == "with":
                    bench.gives("shadow", 2)
                    await describe(bench, bench.lists._shadow._asking._scorer)  # type: ignore[arg-type]
                else:
                    bench.gives("retired", 2)
                began = time.process_time()
                found[which] += await measure(bench, args.rate, args.lists, round_)
                spent[which] += time.process_time() - began
                bench.sent.clear()
    rows = {which: np.percentile(values, (50, 99)) for which, values in found.items()}
    for which, (median, slowest) in rows.items():
        cpu = spent[which] / len(found[which]) * 1000
        print(
            f"{which} a challenger: p50 {median:.1f} ms, p99 {slowest:.1f} ms, {cpu:.1f} ms of the processor a list, "
            f"{len(found[which])} lists"
        )
    ratio = rows["with"] / rows["without"]
    print(f"ratio: p50 {ratio[0]:.2f}, p99 {ratio[1]:.2f}")
    outcomes = {each: int(bench.count("ouzel_shadow_lists_total", outcome=each)) for each in OUTCOMES}
    print("scored in shadow:", ", ".join(f"{count} {each}" for each, count in outcomes.items()))


OUTCOMES = ("asked", "failed", "dropped")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a challenger in shadow costs: event-to-list p50 and p99.")
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--lists", type=int, default=300, help="lists a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--model-ms", type=float, default=5.0, help="milliseconds that the model takes")
    parser.add_argument("--busy", action="store_true", help="the model computes on this machine's processor")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
