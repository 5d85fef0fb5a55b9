"""Judge all methods on one order of events under one protocol, in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deploy.datasets.dataset import likes
from deploy.evaluation.live_ranking import Core
from inference.evaluation.baselines import DecayedPopularity, ItemKnn, Markov, Popularity
from inference.evaluation.beyond_accuracy import ListProperties
from inference.evaluation.protocol import Plan, Rule, leave_last_out, prequential
from inference.evaluation.retrieval import Readings, Retrieval, among_unseen, at
from inference.evaluation.runner import Cursor, Method, Named, Outcome, run
from inference.progress import Count
from schemas.events import Event
from schemas.items import Item
from schemas.seen import SeenRules
from streams.graph.item_graph import Counting
from streams.ranking.settings import Ranking

Kind = Literal["scorer", "sasrec", "esasrec"]
PREQUENTIAL, LEAVE_LAST_OUT = "prequential", "leave_last_out"
LISTS = (PREQUENTIAL, LEAVE_LAST_OUT)
"""The protocols that judge lists."""


@dataclass(frozen=True)
class Learned:
    """A model's readings of one stream: along it, and for the tests of leave-last-out."""

    along: Readings
    tests: Readings | None = None


@dataclass(frozen=True)
class Job:
    """One order of events under one protocol; runs in one process."""

    seed: int
    protocol: str
    items: tuple[Item, ...]
    events: tuple[Event, ...]
    learned: Mapping[Kind, Learned]
    settings: Ranking
    counting: Counting
    share: float = Rule.share

    def __str__(self) -> str:
        return f"{self.protocol} tie seed {self.seed}"


def judge(job: Job, progress: Count = lambda done, total: None) -> Outcome:
    """Judge all methods on one order of events."""
    cursor = Cursor()
    plan = planned(job.protocol, job.events, job.seed, job.settings.seen, job.share)
    ids = [item.id for item in job.items]
    readings = {kind: at(cursor, found.along, found.tests) for kind, found in job.learned.items()}
    model = readings.get("scorer")
    core = Core(job.items, job.settings, job.counting, model=None if model is None else lambda _: model())
    floors = {
        "popularity": Popularity(),
        "popularity_14_days": DecayedPopularity(),
        "markov": Markov(),
        "item_knn": ItemKnn(),
    }
    for floor in floors.values():
        floor.offer(ids)
    methods: list[Method] = [core, *(Retrieval(kind, scores, ids) for kind, scores in readings.items())]
    methods += [Named(name, floor) for name, floor in floors.items()]
    measured = ListProperties(job.items, core.catalogue.likeness.vectors()[: len(ids)], job.events, plan.steps, likes)
    outcome = run(
        job.events,
        plan.steps,
        methods,
        likes=likes,
        items=len(ids),
        seed=job.seed,
        seen=job.settings.seen,
        cursor=cursor,
        measured=measured,
        progress=progress,
    )
    outcome.likes, outcome.left_out = plan.likes, dict(plan.left_out)
    if "scorer" in job.learned:
        told = job.learned["scorer"].tests or job.learned["scorer"].along
        numbers = {item: number for number, item in enumerate(ids)}
        wanted = [(test.at, numbers[job.events[test.at].item or ""]) for test in outcome.tests]
        outcome.unseen = [bool(told.unseen(place)[number]) for place, number in wanted]
        places = [test.at for test, unseen in zip(outcome.tests, outcome.unseen, strict=True) if unseen]
        for kind, found in job.learned.items():
            outcome.among_unseen[kind] = among_unseen(found.tests or found.along, job.events, places, ids)
    return outcome


def planned(protocol: str, events: Sequence[Event], seed: int, seen: SeenRules, share: float = Rule.share) -> Plan:
    """The plan of a protocol over the order of events that `seed` drew. `share` of the likes along the stream are
    tests."""
    if protocol == PREQUENTIAL:
        return prequential(events, likes, Rule(seed=seed, share=share), seen)
    return leave_last_out(events, likes, seen)
