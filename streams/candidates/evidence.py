"""A user's interests: the items that they liked, met and disliked, and the attributes that these share.

Nothing of it is stored: it is derived from the context, so forgetting an event leaves nothing behind.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.fold.context import ENOUGH, Context, Interaction, SceneContext, lately, likes
from streams.items.catalogue import Catalogue

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_EVIDENCE = 20
"""Maximum likes, met items and dislikes that are read, each."""

INTEREST_DECAY = 0.95
DISLIKE_SHARE = 0.5


@dataclass(frozen=True)
class Evidence:
    """Distinct item numbers, newest first, at most MAX_EVIDENCE of each. `met` holds events of any kind.

    Ids that are missing from the catalogue have numbers below 0: only the item graph knows them."""

    likes: Ints
    met: Ints
    dislikes: Ints

    def items(self) -> Ints:
        """The liked and the met items, once each: the likes are adjacent, and so are the met ones."""
        likes, met = dict.fromkeys(self.likes.tolist()), dict.fromkeys(self.met.tolist())
        only_liked, both = [at for at in likes if at not in met], [at for at in likes if at in met]
        return np.array([*only_liked, *both, *(at for at in met if at not in likes)], np.int64)


def evidence(context: Context, scene: str, catalogue: Catalogue) -> Evidence:
    """The evidence of `scene`, topped up from the user's other scenes while there is little."""
    here = context.scenes.get(scene, SceneContext())
    dislikes = here.dislikes
    if len(here.recent) < ENOUGH and len(context.scenes) > 1:
        elsewhere = [done for name, other in context.scenes.items() if name != scene for done in other.dislikes]
        dislikes = (*sorted(elsewhere, key=lambda done: done.ts), *dislikes)
    known = (likes(context, scene), lately(context, scene), dislikes)
    return Evidence(*(_newest(past, catalogue) for past in known))


def interests(known: Evidence, catalogue: Catalogue) -> Floats:
    """Decayed interest by attribute number, float32, length 1 or 0: likes count for, dislikes against, rare ones
    more."""
    of_item, count = catalogue.attributes()
    interest = np.zeros(count)
    for numbers, sign in ((known.likes, 1.0), (known.dislikes, -DISLIKE_SHARE)):
        weights = sign * INTEREST_DECAY ** np.arange(len(numbers))
        held = numbers >= 0
        np.add.at(interest, of_item[numbers[held]], weights[held, None])
    interest *= catalogue.rarity()
    length = np.linalg.norm(interest)
    return (interest / length if length > 0 else interest).astype(np.float32)


def _newest(past: tuple[Interaction, ...], catalogue: Catalogue) -> Ints:
    items = list(dict.fromkeys(done.item for done in reversed(past)))[:MAX_EVIDENCE]
    numbers = [catalogue.index.find(item) for item in items]
    return np.array([number for number in numbers if number is not None], np.int64)
