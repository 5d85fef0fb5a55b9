"""Is the event that an explanation names the cause? `python -m tests.benchmarks.faithfulness [--lists N] [--json FILE]`

On MovieLens-100K, in the last fifth of the stream, which the packaged adapter has not seen, with the real model in
this process. Before a like, its user's list is made, explained as a worker explains it, and one of its entries is
drawn. Then the user withdraws an event with a `forget` event, and the list is made from the start: new candidates, seen
marks, and model scores. Once it is the event that the explanation names, once another one of those that it considered,
drawn at random. Prints how often the entry loses more score, and more places, by the named event, with 95% intervals
over users; the same for the event that the published reason names ("because you liked X").
"""

import argparse
import asyncio
import json
import os
import random
from collections import defaultdict
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded

import numpy as np

from deploy.datasets.dataset import films, likes
from deploy.evaluation.live_ranking import WITHOUT, Core
from inference.engines import load_engine
from inference.evaluation.intervals import interval
from inference.scorers.in_process import InProcessScorer
from inference.settings import ModelSettings
from inference.transformer.weights import convert
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from streams.clock import SYSTEM
from streams.fold.context import Context, digest, digest_of, fold
from streams.fold.marking import UNKEYED
from streams.metrics import Metrics
from streams.privacy.sessions import Sessions
from streams.ranking.drawing import Noise
from streams.ranking.shortlist import Shortlist, best_first
from streams.serving.explaining import Explaining, Subject
from streams.serving.live_versions import LiveVersions
from streams.serving.wishes import Wishes
from streams.turns import Turns
from streams.wording.causes import named

SEED, SCENE, BATCH, SECONDS = 0, "default", 64, 60.0
FEWEST = 3
"""Events of a user whose list is judged: one that is named, and others."""


class Where(NamedTuple):
    """The score of an item before diversity, relative to the mean candidate, and its place by it; the last one if it is
    no candidate."""

    score: float
    place: int


class Drop(NamedTuple):
    score: float
    places: float


class World:
    """Users at a point of the stream, and their lists with the model."""

    def __init__(self, weights: Path, events: int) -> None:
        dataset = films()
        self.stream = dataset.stream(SEED, None)
        self.core = Core(dataset.items)
        self.ids: dict[int, str] = {}
        for event in self.stream[:events]:
            self.learn(event)
        self.scorer = InProcessScorer(lambda: load_engine(weights, ModelSettings()))
        self.sessions = Sessions(b"benchmark", alone=True)
        metrics, catalogue = Metrics(), self.core.catalogue
        live = LiveVersions(catalogue, metrics, SYSTEM)
        blends: Any = SimpleNamespace(blend=lambda _: self.blend)
        self.explaining = Explaining(
            ranker=self.core.ranker,
            blends=blends,
            scorer=self.scorer,
            live=live,
            wishes=Wishes(None, catalogue, days=7, metrics=metrics, clock=SYSTEM),
            metrics=metrics,
            clock=SYSTEM,
            turns=Turns(),
        )

    @property
    def blend(self) -> Any:
        return self.core.blends[WITHOUT]

    def learn(self, event: Event) -> None:
        self.ids[digest(event.id)] = event.id
        self.core.learn(event, likes(event))

    async def describe(self) -> None:
        """Have the model read every item."""
        catalogue = self.core.catalogue
        while numbers := catalogue.vectors.next(BATCH):
            items = [catalogue.described(number) for number in numbers]
            catalogue.vectors.put(numbers, await self.scorer.describe(items, timeout=SECONDS))

    async def shortlist(self, user: str, context: Context, now_ms: int) -> tuple[Shortlist, str]:
        ranker = self.core.ranker
        plain = ranker.shortlist(ranker.prepare(context, SCENE, now_ms=now_ms), self.blend)
        scores = await self.scorer.score(ranker.question(plain, session=self.sessions.number(user)), timeout=SECONDS)
        return ranker.rescore(plain, scores, self.blend), scores.model_version

    async def made(self, user: str, context: Context, now_ms: int) -> tuple[Recommendation, Shortlist]:
        chosen, version = await self.shortlist(user, context, now_ms)
        entries = self.core.ranker.assemble(chosen, self.blend, Noise(user))
        return Recommendation(
            id=f"{user}-{context.offset}",  # users do several things in one second
            user=user,
            scene=SCENE,
            ts=now_ms,
            trigger="",
            partition=0,
            offset=0,
            entries=entries,
            model_version=version,
            freshness_ms=0,
            took_ms=0,
            context=digest_of(context),
        ), chosen

    def where(self, chosen: Shortlist, item: str) -> Where:
        blended = self.core.ranker.blended(chosen, self.blend)
        order = best_first(blended, chosen.marks)
        relative = blended - blended.mean()
        number = self.core.catalogue.index.find(item)
        for place, at in enumerate(order.tolist(), start=1):
            if chosen.candidates.numbers[at] == number:
                return Where(float(relative[at]), place)
        return Where(float(relative.min()), len(order) + 1)

    async def where_without(self, made: Recommendation, context: Context, event: int, item: str) -> Where:
        """Where an item is once the user has withdrawn the event of this digest."""
        forget = Event(id="forget", user=made.user, kind=EventKind.FORGET, ts=made.ts, target=self.ids[event])
        forgotten = fold(context, forget, context.offset + 1)
        return self.where((await self.shortlist(made.user, forgotten, made.ts))[0], item)


async def judge(world: World, events: int, most: int, drawn: random.Random) -> dict[str, Any]:
    await world.describe()
    rows: dict[str, list[tuple[str, Drop, Drop]]] = defaultdict(list)
    unnamed, considered = 0, []
    seconds: dict[str, list[float]] = defaultdict(list)
    later = world.stream[events:]
    share = min(1.0, 2.0 * most / max(1, sum(map(likes, later))))
    for event in later:
        context = world.core.contexts.get(event.user)
        if len(rows["explanation"]) + unnamed >= most:
            break
        if context is not None and likes(event) and drawn.random() < share:
            began = perf_counter()
            made, chosen = await world.made(event.user, context, event.ts)
            listed = perf_counter() - began
            session = world.sessions.number(event.user)
            subject = Subject(lambda held=context: held, UNKEYED, session, event.user)
            began = perf_counter()
            explained = await world.explaining.explain(made, subject)
            causes = explained.causes
            if len(causes.events) >= FEWEST:
                seconds["list"].append(listed)
                seconds["explanation"].append(perf_counter() - began)
                considered.append(len(causes.events))
                entry = drawn.choice(made.entries)
                cause = named(causes, explained.rows[entry.item])
                if cause is None:
                    unnamed += 1
                by_reason = next(
                    (at for at, one in enumerate(causes.events) if one.item in entry.reason.because[:1]), None
                )
                before = world.where(chosen, entry.item)
                for rule, place in (("explanation", cause), ("reason", by_reason)):
                    if place is None:
                        continue
                    other = drawn.choice([at for at in range(len(causes.events)) if at != place])
                    after = [
                        await world.where_without(made, context, causes.events[at].event, entry.item)
                        for at in (place, other)
                    ]
                    mine, others = (Drop(before.score - one.score, float(one.place - before.place)) for one in after)
                    rows[rule].append((event.user, mine, others))
        world.learn(event)
    await world.scorer.close()
    return {
        "unnamed": unnamed,
        "events": float(np.mean(considered)),
        "lists_an_explanation": float(np.median(np.array(seconds["explanation"]) / np.array(seconds["list"]))),
        **{rule: compared(found) for rule, found in rows.items()},
    }


def compared(rows: list[tuple[str, Drop, Drop]]) -> dict[str, Any]:
    """How often the entry loses more by the named event, ties counting half, and how much it loses on average."""
    users = np.unique([user for user, _, _ in rows], return_inverse=True)[1]
    found: dict[str, Any] = {"lists": len(rows), "users": int(users.max()) + 1}
    for at, what in enumerate(Drop._fields):
        mine, other = (np.array([row[which][at] for row in rows]) for which in (1, 2))
        more = interval((mine > other) + 0.5 * (mine == other), users)
        found[what] = {
            "more": {"mean": more.mean, "low": more.low, "high": more.high},
            "lost": {"named": float(mine.mean()), "random": float(other.mean())},
        }
    return found


def show(report: dict[str, Any]) -> None:
    times = report["lists_an_explanation"]
    print(
        f"{report['events']:.0f} events considered; an explanation takes {times:.1f} times as long as a list (medians)"
    )
    for rule in ("explanation", "reason"):
        if rule not in report:
            continue
        of = report[rule]
        print(f"\nby the {rule}: {of['lists']:,} lists of {of['users']} users")
        for what in Drop._fields:
            more, lost = of[what]["more"], of[what]["lost"]
            between = "" if more["low"] is None else f" ({more['low']:.3f} to {more['high']:.3f})"
            print(f"  loses more {what:6} by the named event in {more['mean']:.3f}{between} of the lists")
            print(f"  {what:6} lost: {lost['named']:.3f} by the named event, {lost['random']:.3f} by another one")
    print(f"\nlists of which no event raises the entry: {report['unnamed']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(".ouzel") / "benchmarks" / "faithfulness")
    parser.add_argument("--events", type=int, default=80_000, help="events before the first list")
    parser.add_argument("--lists", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    weights = convert(given.work / "scorer" / "1" / "weights", ModelSettings())
    world = World(weights, given.events)
    report = asyncio.run(judge(world, given.events, given.lists, random.Random(SEED)))
    show(report)
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
