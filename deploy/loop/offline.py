"""Other methods on the same tests, offline: baselines, and the evaluation's model retrained along the stream.

They rank in the order of the stream with everything up to each test, without a broker and without delay
(`inference.evaluation.runner`), in the times of a pass (`Split.sent`): what decays with time, and the gaps between a
user's events, should not tell them apart from the passes. A baseline takes seconds; the retrained models take tens of
minutes.
"""

from collections.abc import Mapping
from pathlib import Path

from deploy.datasets.dataset import likes
from deploy.evaluation.jobs import Kind, Learned
from deploy.evaluation.live_ranking import WITH, WITHOUT, Core
from deploy.evaluation.trainings import train
from deploy.loop.split import Split
from inference.evaluation.baselines import ItemKnn, Markov, Popularity
from inference.evaluation.protocol import Step
from inference.evaluation.retrieval import Retrieval, at
from inference.evaluation.runner import Cursor, Method, Named, Outcome, run
from inference.progress import Progress
from schemas.items import Item
from schemas.seen import PLAIN

PARTS = 20
"""The retrained model is trained at the end of each of this many parts of the stream, as in `ouzel evaluate`."""

NAMES = {WITH: "retrained", WITHOUT: "without_model_offline", "scorer": "retrained_alone", "sasrec": "sasrec_retrained"}


def baselines(split: Split, items: tuple[Item, ...], seed: int, progress: Progress) -> dict[str, dict[str, int]]:
    """The places of the tests under popularity, last-item transitions and item-kNN, by method and test."""
    rankers = {"popularity": Popularity(), "markov": Markov(), "item_knn": ItemKnn()}
    for ranker in rankers.values():
        ranker.offer([item.id for item in items])
    methods: list[Method] = [Named(name, ranker) for name, ranker in rankers.items()]
    return _places(split, _run(split, items, methods, Cursor(), seed=seed, progress=progress, label="baselines"))


def retrained(
    split: Split, items: tuple[Item, ...], seed: int, progress: Progress, *, work: Path, processes: int
) -> dict[str, dict[str, int]]:
    """The places of the tests under the evaluation's models, each trained only on earlier events: the list with the
    model and without it, the model alone, and SASRec."""
    from deploy.evaluation.learners import learner  # noqa: PLC0415 - imports torch

    ids = [item.id for item in items]
    kinds: tuple[Kind, ...] = ("scorer", "sasrec")
    made = learner(items, work, progress, processes)
    [learned], _ = train(
        made,
        kinds,
        [split.events],
        ids,
        parts=PARTS,
        last_out=False,
        seen=PLAIN,
        processes=processes,
        progress=progress,
    )
    cursor = Cursor()
    scores = {kind: at(cursor, found.along) for kind, found in _sorted(learned).items()}
    scorer = scores["scorer"]
    methods: list[Method] = [Core(items, model=lambda _: scorer())]
    methods += [Retrieval(kind, of, ids) for kind, of in scores.items()]
    places = _places(
        split, _run(split, items, methods, cursor, seed=seed, progress=progress, label="judging the retrained model")
    )
    return {new: places[old] for old, new in NAMES.items()}


def _run(
    split: Split,
    items: tuple[Item, ...],
    methods: list[Method],
    cursor: Cursor,
    *,
    seed: int,
    progress: Progress,
    label: str,
) -> Outcome:
    tests = set(split.tests)
    steps = [Step(place, place in tests, True) for place, event in enumerate(split.events) if event.item is not None]
    return run(
        split.events,
        steps,
        methods,
        likes=likes,
        items=len(items),
        seed=seed,
        cursor=cursor,
        progress=lambda done, total: progress(label, done, total),
    )


def _places(split: Split, outcome: Outcome) -> dict[str, dict[str, int]]:
    names = [split.events[test.at].id for test in outcome.tests]
    return {
        method: {name: place for name, place in zip(names, outcome.row(method), strict=True) if place is not None}
        for method in outcome.places
    }


def _sorted(learned: Mapping[Kind, Learned]) -> dict[Kind, Learned]:
    return {kind: learned[kind] for kind in sorted(learned)}
