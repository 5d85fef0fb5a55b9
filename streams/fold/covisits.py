"""The co-visits of one event: which items the user met before, and how far back."""

from collections.abc import Iterable, Reversible
from itertools import islice

from schemas.actions import ITEM_KINDS, sentiment
from schemas.events import Event
from schemas.neighbours import MAX_EARLIER, MAX_UPDATES, Covisit, Covisits, Earlier
from streams.fold.context import Context, Interaction, SceneContext
from streams.fold.draft import Draft

REACH = MAX_EARLIER // 2
"""How many of the user's last events, and of their last likes, one event is paired with."""


_NO_SCENE = SceneContext()
_ITEM_KINDS = frozenset(ITEM_KINDS)


def covisits(before: Context | Draft, event: Event, offset: int, partition: int) -> tuple[tuple[str, Covisit], ...]:
    """The co-visits of `event`: one update for its own item, or none.

    It is paired with the last `REACH` other items that the user met in the event's scene, and the last `REACH` that
    they liked. `partition` is part of the message that carries the update.
    """
    item = event.item
    if item is None or event.kind not in _ITEM_KINDS:
        return ()
    scene = before.scenes.get(event.scene, _NO_SCENE)
    liked = sentiment(event.kind, event.value) > 0
    likes = scene.likes if isinstance(scene, SceneContext) else scene.likes.values()
    liked_apart = _places(likes, item) if liked else {}
    apart = _places(scene.recent, item)
    earlier = tuple(
        Earlier(other, apart.get(other, 0), liked_apart.get(other, 0))
        for other in dict.fromkeys((*apart, *liked_apart))
    )
    return ((item, Covisit(offset, event.ts, event.scene, liked, earlier)),)


def _places(past: Reversible[Interaction], item: str) -> dict[str, int]:
    """The last REACH distinct items other than `item`, and how far back each is, from 1."""
    newest = dict.fromkeys(done.item for done in islice(reversed(past), REACH) if done.item != item)
    return {other: place for place, other in enumerate(newest, 1)}


def messages(partition: int, updates: Iterable[tuple[str, Covisit]]) -> list[Covisits]:
    """The updates of one batch of a partition by item, in messages of bounded size."""
    by_item: dict[str, list[Covisit]] = {}
    for item, update in updates:
        by_item.setdefault(item, []).append(update)
    return [
        Covisits(item=item, partition=partition, updates=tuple(of[start : start + MAX_UPDATES]))
        for item, of in by_item.items()
        for start in range(0, len(of), MAX_UPDATES)
    ]
