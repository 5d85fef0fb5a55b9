"""What each kind of event means: the one table, a line per kind, from which everything else about kinds follows.

- `needs`: the fields without which `schemas.codec` refuses the event. A field that its kind does not need is ignored.
- `effect`: what folding the event changes. An `interaction` is about an item: it enters the scene of the user, marks
  the item as seen, is paired with earlier items in the co-visit kernels of what was met, and can react to a list.
- `strength`: how much the event says that the user likes the item, from -2, dislikes it much, to 2, likes it much. What
  is above 0 is a like, and is paired in the co-visit kernels of likes too.
- `reward`: what the event is worth for the entry of a list that it reacts to, from -1 to 1.

For `rate`, strength and reward follow from the rating. Pure.
"""

from enum import StrEnum
from typing import NamedTuple

from schemas.events import EventKind

LIKED_RATING = 4.0
DISLIKED_RATING = 2.0

RATED = None
"""The strength or reward of a kind where the rating says it."""


class Effect(StrEnum):
    """What folding an event changes."""

    INTERACTION = "interaction"
    WISH = "wish"
    FORGETTING = "forgetting"
    ERASURE = "erasure"


class Action(NamedTuple):
    """One line of the table."""

    needs: tuple[str, ...]
    effect: Effect = Effect.INTERACTION
    strength: int | None = 0
    reward: float | None = 0.0


ACTIONS = {
    EventKind.VIEW: Action(("item",), strength=0, reward=0.2),
    EventKind.CLICK: Action(("item",), strength=1, reward=0.5),
    EventKind.LIKE: Action(("item",), strength=2, reward=1.0),
    EventKind.DISLIKE: Action(("item",), strength=-2, reward=-1.0),
    EventKind.CART: Action(("item",), strength=1, reward=1.0),
    EventKind.PURCHASE: Action(("item",), strength=2, reward=1.0),
    EventKind.RATE: Action(("item", "value"), strength=RATED, reward=RATED),
    EventKind.DISMISS: Action(("item",), strength=-1, reward=-0.5),
    EventKind.STEER: Action(("text",), Effect.WISH),
    EventKind.FORGET: Action(("target",), Effect.FORGETTING),
    EventKind.ERASE: Action((), Effect.ERASURE),
}

ITEM_KINDS = tuple(kind for kind, action in ACTIONS.items() if action.effect is Effect.INTERACTION)
"""The kinds of events about an item. Their order stands on disk (`streams.fold.seen_marks`)."""

_STRENGTH = {kind: action.strength or 0 for kind, action in ACTIONS.items()}
_SENTIMENT = {kind: (strength > 0) - (strength < 0) for kind, strength in _STRENGTH.items()}
_REWARD = {kind: action.reward or 0.0 for kind, action in ACTIONS.items()}
_RATE = EventKind.RATE


def strength(kind: EventKind, value: float | None = None) -> int:
    """How much an event of `kind`, with the rating `value` (0 to 5) if it is one, says that the user likes the item:
    -2 to 2."""
    if kind is _RATE and value is not None:
        liked = (value >= LIKED_RATING) + (value > LIKED_RATING)
        return liked - (value <= DISLIKED_RATING) - (value <= DISLIKED_RATING - 1)
    return _STRENGTH[kind]


def sentiment(kind: EventKind, value: float | None = None) -> int:
    """1 if the event says that the user likes the item, -1 if it says that they dislike it, else 0."""
    if value is None or kind is not _RATE:
        return _SENTIMENT[kind]
    return (value >= LIKED_RATING) - (value <= DISLIKED_RATING)


def reward(kind: EventKind, value: float | None = None) -> float:
    """What the event is worth for the entry that it reacts to, from -1 to 1. A rating is worth its distance from 3, in
    halves, at least -1."""
    if kind is _RATE:
        return max(-1.0, ((value or 0.0) - 3.0) / 2.0)
    return _REWARD[kind]
