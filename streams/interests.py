"""What a person is known to want: the items that they liked, met and disliked, and by attribute what those share.

Nothing of it is stored: it follows from the context, so that forgetting an event leaves nothing behind.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.catalogue import Catalogue
from streams.context import Context, Interaction, SceneContext, likes

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_EVIDENCE = 20
"""Likes, meetings and dislikes that are read, each."""

ENOUGH = 10
"""With fewer events than this in a scene, those of other scenes count too, as older ones."""

INTEREST_DECAY = 0.95
DISLIKE_SHARE = 0.5


@dataclass(frozen=True)
class Evidence:
    """Distinct item numbers, newest first, at most MAX_EVIDENCE of each. `met` holds events of any kind."""

    likes: Ints
    met: Ints
    dislikes: Ints


def evidence(context: Context, scene: str, catalogue: Catalogue) -> Evidence:
    """The evidence of `scene`, topped up from the person's other scenes while there is little."""
    here = context.scenes.get(scene, SceneContext())
    met, dislikes = here.recent, here.dislikes
    if len(met) < ENOUGH and len(context.scenes) > 1:
        others = [other for name, other in context.scenes.items() if name != scene]
        met = (*_by_time(done for other in others for done in other.recent), *met)
        dislikes = (*_by_time(done for other in others for done in other.dislikes), *dislikes)
    return Evidence(_newest(likes(context, scene), catalogue), _newest(met, catalogue), _newest(dislikes, catalogue))


def interests(known: Evidence, catalogue: Catalogue) -> Floats:
    """Decayed interest by attribute number, float32, length 1 or 0: likes for, dislikes against, rare ones more."""
    of_item, count = catalogue.attributes()
    interest = np.zeros(count)
    for numbers, sign in ((known.likes, 1.0), (known.dislikes, -DISLIKE_SHARE)):
        weights = sign * INTEREST_DECAY ** np.arange(len(numbers))
        np.add.at(interest, of_item[numbers], weights[:, None])
    interest *= catalogue.rarity()
    length = np.linalg.norm(interest)
    return (interest / length if length > 0 else interest).astype(np.float32)


def _by_time(done: Iterable[Interaction]) -> list[Interaction]:
    return sorted(done, key=lambda one: one.ts)


def _newest(past: tuple[Interaction, ...], catalogue: Catalogue) -> Ints:
    items = list(dict.fromkeys(done.item for done in reversed(past)))[:MAX_EVIDENCE]
    numbers = [catalogue.index.find(item) for item in items]
    return np.array([number for number in numbers if number is not None], np.int64)
