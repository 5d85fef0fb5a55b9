"""`ouzel evaluate`: the ranking core on real events, offline, beside the methods that it has to beat.

The ranking is the live one: the same context, item graph, shortlist, blend and order as in a worker, with both roles of
the graph in one object. What differs is stated: no broker, no delay, exploration off, and the model is asked for a part
of the lists only.
"""

import asyncio
import json as json_format
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.managers import SyncManager
from pathlib import Path
from queue import Empty
from threading import Thread
from typing import Any

from rich.console import Console

from deploy import movielens
from deploy.errors import StartFailed
from inference.evaluation.floors import DecayedPopularity, ItemKnn, Markov, Popularity
from inference.evaluation.protocol import Method, Moment, Named, Outcome, Rule, run
from inference.evaluation.report import Paired, summary, table
from schemas.events import Event
from schemas.items import Item
from schemas.scoring import Scorer, Scores, ScoringError
from streams.blend import Blend, learn
from streams.catalogue import Catalogue
from streams.context import EMPTY, Context, fold, sentiment
from streams.covisits import covisits, messages
from streams.graph import Counting, ItemGraph
from streams.ranking import Ranking, Shortlist, arrange, remember, score_request, shortlist
from streams.signals import SIGNALS

WITH, WITHOUT = "ouzel", "ouzel_without_model"
ASKED, UNASKED = "with_model", "without_model"
SETTINGS = Ranking(exploration=0.0)
LEARN_FROM = 1_000
"""Lists are made, and the blend learns, from this event on."""

SCORING_SECONDS = 60.0

Progress = Callable[[str, int, int], None]
ScorerFactory = Callable[[], Scorer]


@dataclass
class Core:
    """The ranking core as a method of the protocol: a person's list before each of their likes, then learning from it.

    With a `scorer`, there is a second ranking beside the one without: it has a blend of its own, and the model is asked
    for every `ask_every`-th test. As in a worker under admission control, the other lists are behavioural.
    """

    items: Sequence[Item]
    settings: Ranking = SETTINGS
    counting: Counting = field(default_factory=Counting)
    scorer: Scorer | None = None
    ask_every: int = 1
    catalogue: Catalogue = field(default_factory=Catalogue)
    contexts: dict[str, Context] = field(default_factory=dict)
    blends: dict[str, Blend] = field(default_factory=dict)
    tests: int = 0
    events: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        for item in self.items:
            self.catalogue.add(item)
        self.graph = ItemGraph(self.catalogue.index, self.counting)
        self.blends = {name: Blend() for name in ((WITHOUT, WITH) if self.scorer else (WITHOUT,))}
        self._made: tuple[Moment, Shortlist, Scores | None] | None = None
        self._loop = asyncio.Runner()

    def rank(self, moment: Moment, k: int) -> Mapping[str, Sequence[str]]:
        """The list without the model, each signal alone, and with a scorer the list with it; see `Core`."""
        chosen = self._shortlist(moment)
        found = {WITHOUT: self._listed(chosen, None, WITHOUT, k)}
        scores: Scores | None = None
        if self.scorer is not None:
            view = self._reordered(chosen, WITH)
            if self.tests % self.ask_every == 0:
                scores = self._ask(view, moment)
            found[WITH] = self._listed(view, scores, WITH, k)
            if scores is not None:
                found[ASKED], found[UNASKED] = found[WITH], self._listed(view, None, WITH, k)
        numbers = chosen.candidates.numbers
        for column, name in enumerate(SIGNALS):
            signal = chosen.signals[:, column]
            best = numbers[(-signal).argsort(kind="stable")[:k]] if signal.any() else numbers[:0]
            found[f"signal:{name}"] = self._ids(best.tolist())
        self.tests += 1
        self._made = (moment, chosen, scores)
        return found

    def learn(self, event: Event, liked: bool) -> None:
        """Learn the blends from the person's list if this is a like, count the item graph, and fold the context."""
        moment = Moment(event.user, event.scene, event.ts)
        if liked and event.item is not None and self.events >= LEARN_FROM:
            made = self._made
            _, chosen, scores = made if made and made[0] == moment else (moment, self._shortlist(moment), None)
            for name, blend in self.blends.items():
                view = self._reordered(chosen, name)
                self.blends[name] = learn(blend, remember(view, scores if name == WITH else None), event.item)
        self._made = None
        before = self.contexts.get(event.user, EMPTY)
        for told in messages(0, covisits(before, event, self.events, 0)):
            self.graph.learn(told)
        self.contexts[event.user] = fold(before, event, self.events)
        self.events += 1

    def ready(self) -> bool:
        """Whether the scorer, if there is one, will answer; loads its model."""
        return self.scorer is None or self._loop.run(self.scorer.ready())

    def close(self) -> None:
        if self.scorer is not None:
            self._loop.run(self.scorer.close())
        self._loop.close()

    def _shortlist(self, moment: Moment) -> Shortlist:
        return shortlist(
            self.contexts.get(moment.user, EMPTY),
            moment.scene,
            catalogue=self.catalogue,
            graph=self.graph,
            blend=self.blends[WITHOUT],
            now_ms=moment.ts,
            settings=self.settings,
        )

    def _reordered(self, chosen: Shortlist, name: str) -> Shortlist:
        """The same candidates under another blend."""
        return chosen if name == WITHOUT else chosen.under(self.blends[name])

    def _listed(self, chosen: Shortlist, scores: Scores | None, name: str, k: int) -> Sequence[str]:
        settings = replace(self.settings, length=k)
        made = arrange(chosen, scores, catalogue=self.catalogue, blend=self.blends[name], settings=settings)
        return self._ids(chosen.candidates.numbers[made.places].tolist())

    def _ids(self, numbers: Sequence[int]) -> list[str]:
        return [self.catalogue.index[number] for number in numbers]

    def _ask(self, chosen: Shortlist, moment: Moment) -> Scores | None:
        assert self.scorer is not None
        context = self.contexts.get(moment.user, EMPTY)
        request = score_request(chosen, context, moment.scene, catalogue=self.catalogue, session=self.tests)
        try:
            return self._loop.run(self.scorer.score(request, timeout=SCORING_SECONDS))
        except ScoringError:
            self.failed += 1
            return None


def in_process(repository: Path) -> ScorerFactory:
    """The model of a repository that `ouzel triton build` made, scored in the process that evaluates."""
    return partial(_load, repository)


def _load(repository: Path) -> Scorer:
    from inference.in_process import InProcessScorer  # noqa: PLC0415 - only where a model is asked for
    from inference.repository import settings_of, weights_of  # noqa: PLC0415

    return InProcessScorer.from_weights(weights_of(repository), settings_of(repository))


def likes(event: Event) -> bool:
    return sentiment(event.kind, event.value) > 0


@dataclass(frozen=True)
class Plan:
    """One evaluation. `scorer` must be picklable: each process makes its own. `limit` takes the first events only."""

    scorer: ScorerFactory | None = None
    ask_every: int = 1
    settings: Ranking = SETTINGS
    counting: Counting = field(default_factory=Counting)
    limit: int | None = None


def run_seed(
    seed: int, plan: Plan, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Outcome, int]:
    """MovieLens-100K under one tie seed: what it gave, and how many questions the scorer did not answer."""
    films = movielens.items()
    core = Core(films, plan.settings, plan.counting, plan.scorer() if plan.scorer else None, plan.ask_every)
    floors = {
        "popularity": Popularity(),
        "popularity_14_days": DecayedPopularity(),
        "markov": Markov(),
        "item_knn": ItemKnn(),
    }
    for floor in floors.values():
        floor.offer([film.id for film in films])
    methods: list[Method] = [core, *(Named(name, floor) for name, floor in floors.items())]
    try:
        if not core.ready():
            raise StartFailed("The model does not answer. Build it with `ouzel triton build`, or evaluate without it.")
        outcome = run(movielens.events(seed)[: plan.limit], methods, likes=likes, progress=progress)
    finally:
        core.close()
    return outcome, core.failed


def evaluate(
    *,
    seeds: int = 3,
    json: Path | None = None,
    scorer: ScorerFactory | None = None,
    model_lists: int = 150,
    settings: Ranking = SETTINGS,
    limit: int | None = None,
    processes: int = 2,
    progress: Progress = lambda label, done, total: None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Run every seed, print the table to `console`, write `json`, and return the report.

    `scorer` makes the model's scorer, in each process (so it must be picklable); it is asked for about `model_lists`
    tests a seed, evenly spread. `progress` gets (label, done, total).
    """
    ask_every = max(1, _expected_tests(limit) // max(1, model_lists))
    plan = Plan(scorer=scorer, ask_every=ask_every, settings=settings, limit=limit)
    outcomes, failed = zip(*_run_all(range(seeds), plan, processes, progress), strict=True)
    notes = {
        "data": "MovieLens-100K; a rating of 4 or more is a like",
        "ranking": f"as in a live worker, exploration off: {settings}",
        "signal": "each signal of the blend alone, over the same candidates; where it is the same for all, no list",
    }
    if scorer is not None:
        notes["model"] = (
            f"{WITH}: the model is asked for every {ask_every}th test, {sum(failed)} of these failed; the other lists "
            f"are behavioural. {ASKED} and {UNASKED}: the lists it was asked about, with its scores and without"
        )
    pairs = [Paired("model", ASKED, UNASKED)] if scorer is not None else []
    report = summary(outcomes, rule=str(Rule()), notes=notes, paired=pairs)
    if json is not None:
        json.write_text(json_format.dumps(report, indent=2) + "\n", encoding="utf-8")
    if console is not None:
        console.print(table(report))
        console.print(str(Rule()), style="dim", highlight=False)
        for note in notes.values():
            console.print(f"- {note}", style="dim", highlight=False, markup=False)
    return report


def _run_all(seeds: Sequence[int], plan: Plan, processes: int, progress: Progress) -> list[tuple[Outcome, int]]:
    if processes <= 1 or len(seeds) == 1:
        return [run_seed(seed, plan, partial(progress, _label(seed))) for seed in seeds]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by the children: small products gain nothing from threads
    spawn = get_context("spawn")
    count = min(processes, len(seeds))
    manager = SyncManager(ctx=spawn)
    manager.start(_end_with_parent)
    with (
        manager,
        ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent) as pool,
    ):
        told = manager.Queue()
        running = [pool.submit(_in_process, seed, plan, told) for seed in seeds]
        while not all(one.done() for one in running) or not told.empty():
            with suppress(Empty):
                progress(*told.get(timeout=0.2))
        return [one.result() for one in running]


def _in_process(seed: int, plan: Plan, told: Any) -> tuple[Outcome, int]:
    return run_seed(seed, plan, lambda done, total: told.put((_label(seed), done, total)))


def _label(seed: int) -> str:
    return f"tie seed {seed}"


def _expected_tests(limit: int | None) -> int:
    """About how many tests a seed has, whatever the order of ties."""
    events, rule = movielens.events()[:limit], Rule()
    return int(sum(likes(event) for event in events) / rule.every * (1 - rule.warm_up))


def _end_with_parent() -> None:
    """End this child when the process that started it is gone, however that ended."""
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
