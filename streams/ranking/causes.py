"""What each event of a user adds to the scores of a list: the same candidates, scored again without it. Pure.

Leave-one-out influence (R. D. Cook, "Detection of Influential Observation in Linear Regression", Technometrics 1977) of
events on scores. A contribution is what a signal adds; this counts every way in which an event acts: through co-visits,
tastes, the weights of the blend, and the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.candidates.moment import Floats, Ints
from streams.fold.context import Context, Interaction, SceneContext, lately, likes
from streams.ranking.shortlist import Shortlist, best_first

MAX_EVENTS = 50
"""Maximum events that are left out, one at a time: the newest."""


@dataclass(frozen=True)
class Causes:
    """What each of m events, newest first, adds to the scores of k entries.

    `score`, float64 [k], is that before diversity, and `adds`, float64 [m, k], how much lower it is without the event.
    `place`, int64 [k], is the place of each entry among all candidates by that score, from 1, and `place_without`,
    int64 [m, k], its place without the event.
    """

    events: tuple[Interaction, ...]
    score: NDArray[np.float64]
    place: Ints
    adds: NDArray[np.float64]
    place_without: Ints

    def strongest(self, entry: int, count: int) -> list[int]:
        """The events that change the score of an entry most, up or down, strongest first; at most `count`."""
        order = np.argsort(-np.abs(self.adds[:, entry]), kind="stable")[:count]
        return [int(at) for at in order if self.adds[at, entry] != 0.0]


def acting(context: Context, scene: str) -> tuple[Interaction, ...]:
    """The events that can act on lists of `scene`, each once, newest first; at most `MAX_EVENTS`."""
    dislikes = context.scenes.get(scene, SceneContext()).dislikes
    found = {one.event: one for one in (*lately(context, scene), *likes(context, scene), *dislikes)}
    return tuple(sorted(found.values(), key=lambda one: (one.ts, one.event), reverse=True)[:MAX_EVENTS])


@dataclass(frozen=True)
class Scored:
    """The scores of the entries of a list, float64 [k], and their places by score, from 1, int64 [k]."""

    scores: NDArray[np.float64]
    places: Ints


def scored(chosen: Shortlist, blended: Floats, entries: Ints) -> Scored:
    """The scores and places of `entries`, which are places in the shortlist; `blended` has every candidate's score."""
    rank = np.empty(len(blended), np.int64)
    rank[best_first(blended, chosen.marks)] = np.arange(1, len(blended) + 1)
    return Scored(blended[entries].astype(np.float64), rank[entries])


def compare(events: Sequence[Interaction], whole: Scored, without: Sequence[Scored]) -> Causes:
    """The causes from the scores with all events, and without each."""
    shape = len(events), len(whole.scores)
    return Causes(
        events=tuple(events),
        score=whole.scores,
        place=whole.places,
        adds=whole.scores - np.array([one.scores for one in without], np.float64).reshape(shape),
        place_without=np.array([one.places for one in without], np.int64).reshape(shape),
    )
