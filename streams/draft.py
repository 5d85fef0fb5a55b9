"""A person's context as it grows in place: what `streams.context.fold` does, without a new object for each event.

The plain fold says what a context is after an event. This comes to the same (a property test holds it to that) and
makes a `Context` only when one is asked for. It is built so that an event touches little memory, whatever the person
has done: with many people, what costs is going where nothing is in the cache. What happens seldom (steering,
forgetting) is left to the plain fold. Pure.
"""

import struct
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
    Steer,
    find_seen,
    fold,
    mark_of,
    sentiment,
)

_SEEN_BYTES = 8 * MAX_SEEN
_IDS_BYTES = 8 * MAX_IDS
_PLAIN = EventKind.STEER, EventKind.FORGET
_NO_SCENE = SceneContext()


@lru_cache(maxsize=1 << 16)
def known(item: str) -> tuple[str, bytes]:
    """One string for all that are equal to `item`, and the 8 bytes under which it is remembered.

    At most 65,536 items are kept, about 300 bytes each.
    """
    return item, mark_of(item)


class SceneDraft:
    """A `SceneContext` that grows in place. `likes` and `dislikes` are by item, oldest first."""

    __slots__ = ("dislikes", "liked", "likes", "met", "recent")

    def __init__(self, scene: SceneContext) -> None:
        self.recent = list(scene.recent)
        self.likes = {done.item: done for done in scene.likes}
        self.dislikes = {done.item: done for done in scene.dislikes}
        self.liked = scene.liked
        self.met = max(scene.met, len(scene.recent))

    def add(self, done: Interaction, feeling: int) -> None:
        self.recent.append(done)
        if len(self.recent) > MAX_RECENT:
            del self.recent[0]
        self.met += 1
        if feeling == 0:
            return
        item = done.item
        self.likes.pop(item, None)
        self.dislikes.pop(item, None)
        if feeling > 0:
            self.likes[item] = done
            self.liked += 1
            if len(self.likes) > MAX_LIKES:
                del self.likes[next(iter(self.likes))]
        else:
            self.dislikes[item] = done
            if len(self.dislikes) > MAX_DISLIKES:
                del self.dislikes[next(iter(self.dislikes))]

    def finish(self) -> SceneContext:
        likes, dislikes = tuple(self.likes.values()), tuple(self.dislikes.values())
        return SceneContext(tuple(self.recent), likes, dislikes, self.liked, self.met)


class Draft:
    """A `Context` that grows in place. `scenes` holds those that were touched as drafts, the others as they were.

    `seen` and `ids` are rows of 8-byte digests, oldest first.
    """

    __slots__ = ("_finished", "_last", "ids", "offset", "scenes", "seen", "steers", "ts")
    offset: int
    ts: int
    seen: bytearray
    ids: bytearray
    scenes: dict[str, SceneContext | SceneDraft]
    steers: tuple[Steer, ...]
    _finished: Context

    def __init__(self, context: Context) -> None:
        self._take(context)

    def repeats(self, mark: bytes, offset: int) -> bool:
        """Whether the event whose id has the digest `mark`, at `offset`, is folded already."""
        return offset <= self.offset or find_seen(self.ids, mark) >= 0

    def move(self, offset: int) -> None:
        """Stamp it with the offset of an event that repeats an earlier one."""
        self.offset = offset

    def add(self, event: Event, mark: bytes, offset: int) -> None:
        """Fold a new event: one that does not repeat. If it raises, nothing has changed."""
        kind = event.kind
        if event.item is None or kind in _PLAIN:
            self._take(fold(self.finish(), event, offset))
            return
        item, seen = known(event.item)
        done = Interaction(item, kind, event.ts, int.from_bytes(mark, "little"), event.value)
        feeling = sentiment(kind, event.value)
        # From here on nothing fails.
        self._scene(event.scene).add(done, feeling)
        if find_seen(self.seen, seen) < 0:
            self.seen += seen
            if len(self.seen) > _SEEN_BYTES:
                del self.seen[:8]
        self.ids += mark
        if len(self.ids) > _IDS_BYTES:
            del self.ids[:8]
        self.ts = max(self.ts, event.ts)
        self.offset = offset

    def finish(self) -> Context:
        """The context as it is now; the same object as long as nothing is folded."""
        if self.offset != self._finished.offset:
            scenes = {
                name: scene if isinstance(scene, SceneContext) else scene.finish()
                for name, scene in self.scenes.items()
            }
            self._finished = Context(
                offset=self.offset,
                ts=self.ts,
                scenes=scenes,
                seen=bytes(self.seen),
                ids=struct.unpack(f"<{len(self.ids) // 8}Q", self.ids),
                steers=self.steers,
            )
        return self._finished

    def _take(self, context: Context) -> None:
        self._finished = context
        self.offset = context.offset
        self.ts = context.ts
        self.seen = bytearray(context.seen)
        self.ids = bytearray(struct.pack(f"<{len(context.ids)}Q", *context.ids))
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
