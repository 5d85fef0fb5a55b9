"""`ouzel evaluate`: the ranking core on real events, offline, compared with baselines.

First the models are trained (`deploy.evaluation.trainings`), each time on earlier events only. Then each order of ties
under each protocol is judged in a separate process: the ranking core with and without the model, the models alone, and
baselines, all in one pass over the events.
"""

import json as json_format
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from deploy.datasets.dataset import Dataset
from deploy.evaluation.jobs import LEAVE_LAST_OUT, LISTS, Job, Kind, Learned, judge
from deploy.evaluation.like_dislike import LIKE_DISLIKE, cross_validated
from deploy.evaluation.live_ranking import SETTINGS, WITH, WITHOUT
from deploy.evaluation.trainings import Learner, train
from deploy.local.pool import in_children
from inference.evaluation.console_report import tables
from inference.evaluation.html_report import page
from inference.evaluation.metrics import About, summary
from inference.evaluation.protocol import DEPTH, LAST_OUT, Rule
from inference.evaluation.runner import Outcome
from inference.progress import Progress, silent
from streams.graph.item_graph import Counting
from streams.ranking.gain import NO_LIKES, Verdict, differences, verdict
from streams.ranking.settings import Ranking
from streams.settings import Settings


@dataclass(frozen=True)
class Options:
    """One evaluation.

    `seeds`: number of orders of ties. `limit`: use only the first events. `parts`: number of parts into which the
    trainings cut the stream. Without `model` nothing is trained, and the baselines are compared with
    `ouzel_without_model`. `start` says in a sentence what the scorer starts from. `share`: the share of the likes along
    the stream that are tests.
    """

    seeds: int = 3
    protocols: tuple[str, ...] = LISTS
    processes: int = 2
    limit: int | None = None
    model: bool = True
    sasrec: bool = True
    esasrec: bool = False
    start: str = ""
    share: float = Rule.share
    parts: int = 20
    settings: Ranking = SETTINGS
    counting: Counting = field(default_factory=Counting)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The models to train."""
        wanted: dict[Kind, bool] = {"scorer": self.model, "sasrec": self.sasrec, "esasrec": self.esasrec}
        return tuple(kind for kind, asked in wanted.items() if asked and self.lists)

    @property
    def lists(self) -> tuple[str, ...]:
        """The protocols that judge lists."""
        return tuple(one for one in self.protocols if one in LISTS)


def evaluate(
    dataset: Dataset,
    options: Options = Options(),
    *,
    learner: Learner | None = None,
    json: Path | None = None,
    html: Path | None = None,
    progress: Progress = silent,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train and judge, print the tables to `console`, write `json` and `html`, and return the report.

    `learner` is required if there are models to train. `progress` gets (label, done, total).
    """
    begun = monotonic()
    streams = [dataset.stream(seed, options.limit) for seed in range(options.seeds)]
    learned: list[dict[Kind, Learned]] = [{} for _ in streams]
    cuts: list[int] = []
    if options.kinds:
        assert learner is not None, "models to train need a learner"
        learned, cuts = train(
            learner,
            options.kinds,
            streams,
            [item.id for item in dataset.items],
            parts=options.parts,
            last_out=LEAVE_LAST_OUT in options.protocols,
            seen=options.settings.seen,
            processes=options.processes,
            progress=progress,
        )
    trained = monotonic()
    jobs = [
        Job(
            seed=seed,
            protocol=protocol,
            items=dataset.items,
            events=stream,
            learned={
                kind: Learned(found.along, found.tests if protocol == LEAVE_LAST_OUT else None)
                for kind, found in learned[seed].items()
            },
            settings=options.settings,
            counting=options.counting,
            share=options.share,
        )
        for protocol in options.lists
        for seed, stream in enumerate(streams)
    ]
    outcomes = in_children(_judged, jobs, processes=options.processes, progress=progress)
    other: dict[str, Any] = {}
    if LIKE_DISLIKE in options.protocols:
        other[LIKE_DISLIKE] = cross_validated(dataset, streams[0], processes=options.processes, progress=progress)
    report: dict[str, Any] = {
        "data": dataset.note,
        "events": len(streams[0]),
        "items": len(dataset.items),
        "people": len({event.user for event in streams[0]}),
        "duplicates": len(streams[0]) - len({(e.user, e.item, e.kind, e.value, e.ts) for e in streams[0]}),
        "minutes": {"training": (trained - begun) / 60, "judging": (monotonic() - trained) / 60},
        "protocols": {
            protocol: summary(
                [outcome for job, outcome in zip(jobs, outcomes, strict=True) if job.protocol == protocol],
                _about(protocol, options, learned, cuts, len(streams[0])),
            )
            for protocol in options.lists
        },
        **other,
    }
    for protocol, found in report["protocols"].items():
        if WITHOUT in found["against"]:
            first = next(each for job, each in zip(jobs, outcomes, strict=True) if job.protocol == protocol)
            told = f"{worth(found['against'][WITHOUT])}; {asked(first)}"
            found["notes"] = {"model": told, **found["notes"]}
    if json is not None:
        json.write_text(json_format.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
    if console is not None:
        for part in tables(report):
            console.print(part)
    return report


def worth(gain: Mapping[str, Any]) -> str:
    """A sentence on what the model adds to the lists, from the paired difference in HR@10 with its interval."""
    if gain["low"] is None:
        return f"the model's gain in HR@10 is {gain['mean']:+.4f}, without an interval"
    said = f"the model's gain in HR@10 is {gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    if gain["low"] > 0:
        return said
    if gain["high"] < 0:
        return f"{said}: on this data lists are better without it, and cost less"
    return f"{said}, which cannot be told from none: on this data lists without it may be as good, and cost less"


def asked(outcome: Outcome) -> str:
    """Whether a worker with default settings would still ask the model after the tests of one order of ties."""
    sums = NO_LIKES
    for places in zip(outcome.row(WITH), outcome.row(WITHOUT), strict=True):
        listed, without = (place if place is not None and 0 <= place < DEPTH else None for place in places)
        sums += differences(listed, without)
    if verdict(sums, Settings().lists.model_margin) is Verdict.NOTHING:
        return f"after {sums.likes:,} such likes a worker no longer asks it"
    return f"after {sums.likes:,} such likes a worker still asks it"


def _judged(job: Job, progress: Progress) -> Outcome:
    return judge(job, partial(progress, str(job)))


def _about(
    protocol: str, options: Options, learned: Sequence[Mapping[Kind, Learned]], cuts: Sequence[int], events: int
) -> About:
    last_out = protocol == LEAVE_LAST_OUT
    notes = {
        "ranking": f"as in a live worker, with exploration off: {options.settings}",
        "signals": "each signal of the blend alone, over the same candidates; no list if all candidates have one value",
        "ms_a_list": "wall time in this process, with other processes running. The rankings of the core and its "
        "signals share one time, that of making all of them. It excludes the model's pass, which reads the contexts "
        "in advance; tokens_a_list is their length",
        "intervals": "bootstrap over users, 95%, all tie seeds together; against: the difference on the same tests",
    }
    if options.start and options.model:
        notes["start"] = options.start
    if options.kinds:
        notes["training"] = (
            "on all events except each user's from the second of their test on, so that one training serves all "
            "orders of ties; the blend learned the model's weight from the models along the stream, each trained on "
            "earlier events only"
            if last_out
            else "on earlier events only, at the events in retrained_at, one training for all orders of ties; before "
            "the first training there is no model"
        )
        notes["unseen_items"] = "tests whose item was in no event that the scorer of that time was trained on"
    read = [found.tests if last_out and found.tests else found.along for one in learned for found in one.values()]
    kinds = [kind for one in learned for kind in one]
    tokens: dict[str, float] = {}
    for kind in dict.fromkeys(kinds):
        of_kind = [reading.tokens for which, reading in zip(kinds, read, strict=True) if which == kind]
        tokens[kind] = sum(of_kind) / len(of_kind)
    if "scorer" in tokens:
        tokens[WITH] = tokens["scorer"]
    return About(
        rule=LAST_OUT if last_out else str(Rule(share=options.share)),
        notes=notes,
        ours=WITH if options.model else WITHOUT,
        retrieval=options.kinds,
        tokens=tokens,
        retrained_at=[events] if last_out and options.kinds else cuts,
    )
