"""A person's context as it grows in place: what `streams.context.fold` does, without a new object for each event.

The plain fold says what a context is after an event. This comes to the same (a property test holds it to that) and
makes a `Context` only when one is asked for. It is built so that an event touches little memory, whatever the person
has done: with many people, what costs is going where nothing is in the cache. What happens seldom (steering,
forgetting) is left to the plain fold. Pure.
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
    Steer,
    digest,
    find_seen,
    fold,
    sentiment,
)

_SEEN_BYTES = 8 * MAX_SEEN
_STEER, _FORGET = EventKind.STEER, EventKind.FORGET
_FEELING = {kind: sentiment(kind) for kind in EventKind}
_NO_SCENE = SceneContext()


@lru_cache(maxsize=1 << 16)
def known(item: str) -> tuple[str, bytes]:
    """One string for all that are equal to `item`, and the 8 bytes under which it is remembered.

    At most 65,536 items are kept, about 300 bytes each.
    """
    return item, digest(item).to_bytes(8, "little")


class SceneDraft:
    """A `SceneContext` that grows in place. `likes` and `dislikes` are by item, oldest first."""

    __slots__ = ("dislikes", "liked", "likes", "met", "recent")

    def __init__(self, scene: SceneContext) -> None:
        self.recent = list(scene.recent)
        self.likes = {done.item: done for done in scene.likes}
        self.dislikes = {done.item: done for done in scene.dislikes}
        self.liked = scene.liked
        self.met = max(scene.met, len(scene.recent))

    def judge(self, item: str, done: Interaction, feeling: int) -> None:
        """Put `done` among the likes or the dislikes: by what was said of an item last."""
        likes, dislikes = self.likes, self.dislikes
        likes.pop(item, None)
        dislikes.pop(item, None)
        if feeling > 0:
            likes[item] = done
            self.liked += 1
            if len(likes) > MAX_LIKES:
                del likes[next(iter(likes))]
        else:
            dislikes[item] = done
            if len(dislikes) > MAX_DISLIKES:
                del dislikes[next(iter(dislikes))]

    def finish(self) -> SceneContext:
        likes, dislikes = tuple(self.likes.values()), tuple(self.dislikes.values())
        return SceneContext(tuple(self.recent), likes, dislikes, self.liked, self.met)


class Draft:
    """A `Context` that grows in place. `scenes` holds those that were touched as drafts, the others as they were.

    `seen` is a row of 8-byte digests and `ids` holds digests, both oldest first.
    """

    __slots__ = ("_finished", "_here", "_last", "ids", "offset", "scenes", "seen", "steers", "ts")
    offset: int
    ts: int
    seen: bytearray
    ids: dict[int, None]
    scenes: dict[str, SceneContext | SceneDraft]
    steers: tuple[Steer, ...]
    _finished: Context
    _last: str | None
    """The scene that stands last, if it is a draft: `_here`."""

    def __init__(self, context: Context) -> None:
        self._take(context)

    def move(self, offset: int) -> None:
        """Stamp it with the offset of an event that repeats an earlier one."""
        self.offset = offset

    def add(self, event: Event, mark: int, offset: int) -> None:
        """Fold a new event: behind `offset`, and its id's digest `mark` is not among `ids`.

        If it raises, nothing has changed.
        """
        kind = event.kind
        if event.item is None or kind is _STEER or kind is _FORGET:
            self._take(fold(self.finish(), event, offset))
            return
        item, seen = known(event.item)
        ts, value, scene = event.ts, event.value, event.scene
        done = Interaction(item, kind, ts, mark, value)
        feeling = _FEELING[kind] if value is None else sentiment(kind, value)
        # From here on nothing fails.
        here = self._here if scene == self._last else self._enter(scene)
        recent = here.recent
        recent.append(done)
        if len(recent) > MAX_RECENT:
            del recent[0]
        here.met += 1
        if feeling:
            here.judge(item, done, feeling)
        row = self.seen
        if (at := row.find(seen)) < 0 or (at % 8 and find_seen(row, seen) < 0):
            row += seen
            if len(row) > _SEEN_BYTES:
                del row[:8]
        ids = self.ids
        ids[mark] = None
        if len(ids) > MAX_IDS:
            del ids[next(iter(ids))]
        if ts > self.ts:  # noqa: PLR1730 - a call costs more than all of this line
            self.ts = ts
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
                ids=tuple(self.ids),
                steers=self.steers,
            )
        return self._finished

    def _take(self, context: Context) -> None:
        self._finished = context
        self.offset = context.offset
        self.ts = context.ts
        self.seen = bytearray(context.seen)
        self.ids = dict.fromkeys(context.ids)
        self.steers = context.steers
        self.scenes = dict(context.scenes)
        self._last = None

    def _enter(self, name: str) -> SceneDraft:
        """The draft of a scene, which stands last from now on; the first makes room for a new one."""
        held = self.scenes.pop(name, _NO_SCENE)
        self._here = SceneDraft(held) if isinstance(held, SceneContext) else held
        while len(self.scenes) >= MAX_SCENES:
            del self.scenes[next(iter(self.scenes))]
        self.scenes[name] = self._here
        self._last = name
        return self._here
