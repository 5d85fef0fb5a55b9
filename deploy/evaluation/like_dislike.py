"""Like or dislike on a dataset's events: cross-validated by user, in child processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from deploy.datasets.dataset import Dataset, feeling
from deploy.errors import BadSource
from deploy.local.pool import in_children
from inference.evaluation.like_dislike.cross_validation import Described, Held, describe, held_out, judge
from inference.evaluation.like_dislike.figures import figures
from inference.evaluation.like_dislike.ratings import Ints, Ratings, Texts, attribute_rows, folds
from inference.progress import Progress
from schemas.events import Event
from schemas.items import Item
from streams.items.text_similarity import Likeness

LIKE_DISLIKE = "like_dislike"
FOLDS = 5
MAX_CELLS = 20_000_000
"""Maximum users x items, and items x items: such a table takes 80 MB, and a process holds about ten."""

FEWEST = 100
"""Minimum number of likes, and of dislikes."""


@dataclass(frozen=True)
class _Job:
    ratings: Ratings
    fold: Ints
    held: Held
    texts: Texts


def cross_validated(
    dataset: Dataset, events: Sequence[Event], *, processes: int, progress: Progress, seed: int = 0
) -> dict[str, Any]:
    """The figures of `inference.evaluation.like_dislike.figures`. Of several events of a user on an item the last that
    says something counts. Raises `BadSource` if there are too few likes or dislikes, or too many users and items."""
    ratings, repeated = rated(dataset, events)
    likes, dislikes = int((ratings.value > 0).sum()), int((ratings.value < 0).sum())
    if min(likes, dislikes) < FEWEST:
        raise BadSource(
            f"{LIKE_DISLIKE} needs {FEWEST} likes and {FEWEST} dislikes, and there are {likes:,} and {dislikes:,}: "
            f"leave it out of --protocols."
        )
    if max(ratings.users, ratings.items) * ratings.items > MAX_CELLS:
        raise BadSource(
            f"{LIKE_DISLIKE} takes at most {MAX_CELLS:,} pairs of users or items with items, and there are "
            f"{ratings.users:,} users and {ratings.items:,} items: use fewer events (--limit)."
        )
    fold = folds(ratings.user, FOLDS, seed)
    texts = _texts(dataset, events)
    jobs = [_Job(ratings, fold, held, texts) for held in held_out(FOLDS)]
    described = in_children(_describe, jobs, processes=processes, progress=_counted(progress, len(jobs)))
    progress(f"{LIKE_DISLIKE}: learning", 0, 1)
    found = figures(judge(ratings, fold, described), seed=seed)
    progress(f"{LIKE_DISLIKE}: learning", 1, 1)
    return {**found, "undecided": len(ratings) - likes - dislikes, "repeated": repeated}


def rated(dataset: Dataset, events: Sequence[Event]) -> tuple[Ratings, int]:
    """The events as ratings, and how many were replaced by later ones of the same user and item. Only items that have
    ratings are numbered, in the order of the catalogue."""
    last = {(event.user, event.item): event for event in events if event.item is not None and _says(event)}
    users = {user: number for number, user in enumerate(dict.fromkeys(user for user, _ in last))}
    items = {item.id: number for number, item in enumerate(_met(dataset, events))}
    found = Ratings(
        np.array([users[event.user] for event in last.values()], np.int64),
        np.array([items[event.item or ""] for event in last.values()], np.int64),
        np.array([feeling(event) for event in last.values()], np.float32),
        np.array([event.ts / 1000 for event in last.values()], np.float64),
        len(users),
        len(items),
    )
    return found, sum(map(_says, events)) - len(last)


def _says(event: Event) -> bool:
    """Whether the event says something about its item: all but views, and ratings of 3 too, as undecided."""
    return feeling(event) != 0 or event.value is not None


def _met(dataset: Dataset, events: Sequence[Event]) -> list[Item]:
    met = {event.item for event in events if _says(event)}
    return [item for item in dataset.items if item.id in met]


def _texts(dataset: Dataset, events: Sequence[Event]) -> Texts:
    items, likeness = _met(dataset, events), Likeness()
    for number, item in enumerate(items):
        likeness.put(number, item)
    return Texts(likeness.vectors()[: len(items)], attribute_rows([item.attributes for item in items]))


def _describe(job: _Job, progress: Progress) -> Described:
    found = describe(job.ratings, job.fold, job.held, job.texts)
    progress(LIKE_DISLIKE, 1, 1)
    return found


def _counted(progress: Progress, total: int) -> Progress:
    """Count the finished jobs, whatever they say."""
    done = iter(range(1, total + 1))
    return partial(_report, progress, done, total)


def _report(progress: Progress, done: Any, total: int, label: str, *_: int) -> None:
    progress(label, next(done), total)
