"""A context while a batch changes it: what `streams.context.fold` does, event by event, without a new object for each.

The plain fold says what a context is after an event. This comes to the same (a property test holds it to that), and
makes the `Context` once, when the batch is through. What happens seldom (steering, forgetting) is left to the plain
fold. Pure.
"""

from functools import lru_cache

from schemas.events import Event, EventKind
from streams.context import (
    MAX_DISLIKES,
    MAX_IDS,
    MAX_LIKES,
    MAX_RECENT,
    MAX_SCENES,
    MAX_SEEN,
    Context,
    Interaction,
    SceneContext,
    digest,
    find_seen,
    fold,
    sentiment,
)

_SEEN_BYTES = 8 * MAX_SEEN
_NO_SCENE = SceneContext()
_PLAIN = EventKind.STEER, EventKind.FORGET


@lru_cache(maxsize=1 << 16)
def mark_of(item: str) -> bytes:
    """The 8 bytes under which an item is remembered. At most 65,536 are kept, about 200 bytes each."""
    return digest(item).to_bytes(8, "little")


class SceneDraft:
    """A `SceneContext` that grows in place."""

    __slots__ = ("dislikes", "liked", "likes", "met", "recent")

    def __init__(self, scene: SceneContext) -> None:
        self.recent = list(scene.recent)
        self.likes = list(scene.likes)
        self.dislikes = list(scene.dislikes)
        self.liked = scene.liked
        self.met = max(scene.met, len(scene.recent))

    def add(self, done: Interaction, feeling: int) -> None:
        self.recent.append(done)
        if len(self.recent) > MAX_RECENT:
            del self.recent[0]
        self.met += 1
        if feeling == 0:
            return
        self.likes = _without(self.likes, done.item)
        self.dislikes = _without(self.dislikes, done.item)
        if feeling > 0:
            self.likes.append(done)
            self.liked += 1
            del self.likes[:-MAX_LIKES]
        else:
            self.dislikes.append(done)
            del self.dislikes[:-MAX_DISLIKES]

    def finish(self) -> SceneContext:
        return SceneContext(tuple(self.recent), tuple(self.likes), tuple(self.dislikes), self.liked, self.met)


class Draft:
    """A `Context` that grows in place. `scenes` holds those that were touched as drafts, the others as they were."""

    __slots__ = ("_before", "_first", "_last", "ids", "offset", "scenes", "seen", "steers", "ts")

    offset: int
    ts: int
    seen: bytes
    ids: list[int]
    scenes: dict[str, SceneContext | SceneDraft]

    def __init__(self, context: Context) -> None:
        self._first = context.offset
        self._take(context)

    @property
    def changed(self) -> bool:
        return self.offset != self._first

    def repeats(self, mark: int, offset: int) -> bool:
        """Whether the event whose id has the digest `mark`, at `offset`, is folded already."""
        return offset <= self.offset or mark in self.ids

    def add(self, event: Event, mark: int, offset: int) -> None:
        """Fold a new event: one that does not repeat. If it raises, nothing has changed."""
        item = event.item
        kind = event.kind
        if item is None or kind in _PLAIN:
            self._take(fold(self.finish(), event, offset))
            return
        done = Interaction(item, kind, event.ts, mark, event.value)
        feeling = sentiment(kind, event.value)
        seen = mark_of(item)
        scene = self._scene(event.scene)
        # From here on nothing fails.
        scene.add(done, feeling)
        if find_seen(self.seen, seen) < 0:
            self.seen = (self.seen + seen)[-_SEEN_BYTES:]
        self.ids.append(mark)
        if len(self.ids) > MAX_IDS:
            del self.ids[0]
        self.ts = max(self.ts, event.ts)
        self.offset = offset

    def finish(self) -> Context:
        """The context as it is now; the object that it was made from if nothing was folded."""
        if self.offset == self._before.offset:
            return self._before
        scenes = {
            name: scene if isinstance(scene, SceneContext) else scene.finish() for name, scene in self.scenes.items()
        }
        return Context(
            offset=self.offset,
            ts=self.ts,
            scenes=scenes,
            seen=self.seen,
            ids=tuple(self.ids),
            steers=self.steers,
        )

    def _take(self, context: Context) -> None:
        self._before = context
        self.offset = context.offset
        self.ts = context.ts
        self.seen = context.seen
        self.ids = list(context.ids)
        self.steers = context.steers
        self.scenes = dict(context.scenes)
        self._last: str | None = None

    def _scene(self, name: str) -> SceneDraft:
        """The draft of a scene, which stands last from now on; the first makes room for a new one."""
        held = self.scenes.get(name, _NO_SCENE)
        draft = SceneDraft(held) if isinstance(held, SceneContext) else held
        if name == self._last:
            return draft
        self.scenes.pop(name, None)
        while len(self.scenes) >= MAX_SCENES:
            del self.scenes[next(iter(self.scenes))]
        self.scenes[name] = draft
        self._last = name
        return draft


def _without(past: list[Interaction], item: str) -> list[Interaction]:
    if item in [done.item for done in past]:
        return [done for done in past if done.item != item]
    return past
