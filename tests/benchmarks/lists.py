"""Lists of real films for real people (MovieLens-100K), as the model is asked about them, each with what came next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.datasets import movielens
from schemas.actions import strength
from schemas.events import Event
from schemas.scoring import Candidate, Past, ScoreRequest
from streams.items.catalogue import Catalogue


@dataclass(frozen=True)
class Asked:
    """A question, and the place of the film that the person liked next among its candidates."""

    request: ScoreRequest
    liked: int


def lists(
    count: int,
    *,
    history: int,
    candidates: int,
    after_ms: int = -1,
    shortest: int | None = None,
    likes_only: bool = False,
    seed: int = 0,
) -> list[Asked]:
    """`count` questions of different people at moments after `after_ms`, drawn from `seed`.

    A question is asked before a user likes a film that is new to them, after at least `shortest` things (`history`
    if it is not given), of which the last `history` are told; with `likes_only`, things are likes. The candidates are
    that film and others that the person never rated, drawn by how often all people had rated them by then: chance would
    put it in the middle. Ratings of one second come in a drawn order. Raises `MissingPart` without the data.
    """
    rng = np.random.default_rng(seed)
    catalogue = Catalogue()
    for item in movielens.items():
        catalogue.add(item)
    events = movielens.events(seed)
    rated: dict[str, set[int]] = {}
    for event in events:
        rated.setdefault(event.user, set()).add(catalogue.index.number(str(event.item)))
    moments: dict[str, list[int]] = {}
    told: dict[str, list[int]] = {}
    least = history if shortest is None else shortest
    for at, event in enumerate(events):
        liked = strength(event.kind, event.value) > 0
        if event.ts > after_ms and liked and len(told.get(event.user, ())) >= least:
            moments.setdefault(event.user, []).append(at)
        if liked or not likes_only:
            told.setdefault(event.user, []).append(at)
    people = rng.permutation(sorted(moments)).tolist()
    # Each person once, and then again until there are enough.
    chosen = [int(rng.choice(moments[people[n % len(people)]])) for n in range(count)] if people else []
    if len(chosen) < count:
        raise ValueError(f"no user has {least} events and then a like after {after_ms}: use shorter histories")
    numbers = np.array([catalogue.index.number(str(event.item)) for event in events])
    asked = []
    for session, at in enumerate(chosen):
        user = events[at].user
        past = [events[i] for i in told.get(user, ()) if i < at][-history:] if history else []
        popularity = np.bincount(numbers[:at], minlength=len(catalogue)).astype(np.float64) + 0.1
        popularity[list(rated[user])] = 0
        others = rng.choice(len(catalogue), candidates - 1, replace=False, p=popularity / popularity.sum())
        offered = rng.permutation([numbers[at], *others])
        asked.append(
            Asked(
                ScoreRequest(
                    session=session,
                    scene="default",
                    history=tuple(_past(event, catalogue) for event in past),
                    candidates=tuple(catalogue.described(int(number)) for number in offered),
                ),
                int(np.flatnonzero(offered == numbers[at])[0]),
            )
        )
    return asked


def gains(asked: Sequence[Asked], scores: Sequence[Sequence[float]], depth: int = 10) -> NDArray[np.float64]:
    """1 / log2(place + 2) of each liked film, 0 beyond `depth`, so that the mean is NDCG@`depth`; of ties, the last."""
    places = [sum(score >= own[one.liked] for score in own) - 1 for one, own in zip(asked, scores, strict=True)]
    return np.array([1 / np.log2(place + 2) if place < depth else 0.0 for place in places])


def _past(event: Event, catalogue: Catalogue) -> Past:
    told: Candidate = catalogue.described(catalogue.index.number(str(event.item)))
    return Past(
        told.text,
        event.kind.value,
        item=told.item,
        about=told.about,
        feeling=strength(event.kind, event.value),
        ts=event.ts,
    )
