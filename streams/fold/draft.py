"""A user's context as it grows in place: like `streams.fold.context.fold`, without a new object for each event.

The plain fold defines the context after an event. A draft gives the same result (a property test compares them) and
makes a `Context` only on demand. An event touches little memory, whatever the user has done: with many users, cache
misses are most of the cost. Rare events (steering, forgetting) are left to the plain fold. A draft is encoded as the
`Context` would be, without making one. Pure.
"""

from typing import Any

import msgspec

from schemas.actions import sentiment
from schemas.events import Event, EventKind
from schemas.seen import DAY_MS
from streams.fold.context import (
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
    fold,
)
from streams.fold.marking import UNKEYED, Marking, prints_of
from streams.fold.seen_marks import AS_BYTES, as_of, find_mark, later, seen_as, tails

_SEEN_BYTES = 8 * MAX_SEEN
_STEER, _FORGET = EventKind.STEER, EventKind.FORGET
_OF_KIND = {kind: (sentiment(kind), tails[kind]) for kind in EventKind}
"""The default value of an event kind, and its `seen_as` bytes by day: one lookup for both."""

_NO_SCENE = SceneContext()


class _Written(msgspec.Struct, omit_defaults=True, tag_field="v", tag=Context.__struct_config__.tag, gc=False):
    """A `Context` as an encoder sees it."""

    offset: int
    ts: int = 0
    scenes: dict[str, Any] = {}
    seen: bytes | bytearray = b""
    ids: tuple[int, ...] = ()
    steers: tuple[Steer, ...] = ()
    seen_as: bytes | bytearray = b""


_encode = msgspec.msgpack.Encoder().encode


class SceneDraft:
    """A `SceneContext` that grows in place. `likes` and `dislikes` are by item, oldest first."""

    __slots__ = ("dislikes", "liked", "likes", "met", "recent")

    def __init__(self, scene: SceneContext) -> None:
        self.recent = list(scene.recent)
        self.likes = {done.item: done for done in scene.likes}
        self.dislikes = {done.item: done for done in scene.dislikes}
        self.liked = scene.liked
        self.met = max(scene.met, len(scene.recent))

    def dislike(self, item: str, done: Interaction) -> None:
        """Move `done` to the dislikes, and out of the likes: the last opinion on an item counts."""
        dislikes = self.dislikes
        self.likes.pop(item, None)
        dislikes.pop(item, None)
        dislikes[item] = done
        if len(dislikes) > MAX_DISLIKES:
            del dislikes[next(iter(dislikes))]

    def finish(self) -> SceneContext:
        recent, likes, dislikes, liked, met = self.fields()
        return SceneContext(tuple(recent), likes, dislikes, liked, met)

    def fields(self) -> tuple[list[Interaction], tuple[Interaction, ...], tuple[Interaction, ...], int, int]:
        """The fields of a `SceneContext`, in order."""
        likes, dislikes = self.likes, self.dislikes  # mostly, one of them is empty
        return (
            self.recent,
            tuple(likes.values()) if likes else (),
            tuple(dislikes.values()) if dislikes else (),
            self.liked,
            self.met,
        )


class Draft:
    """A `Context` that grows in place. `scenes` holds the touched ones as drafts, the others unchanged.

    `seen` and `seen_as` are the marks (`streams.fold.seen_marks`), made by `marking`, and `ids` holds digests, oldest
    first. `dropped` counts the marks dropped because there were too many, until its reader sets it to 0.
    """

    __slots__ = (
        "_finished",
        "_here",
        "_last",
        "_prints",
        "dropped",
        "ids",
        "marking",
        "offset",
        "scenes",
        "seen",
        "seen_as",
        "steers",
        "ts",
    )
    offset: int
    ts: int
    seen: bytearray
    seen_as: bytearray
    ids: dict[int, None]
    scenes: dict[str, SceneContext | SceneDraft]
    steers: tuple[Steer, ...]
    _finished: Context
    _last: str | None
    """The last scene, if it is a draft: `_here`."""

    _prints: str
    """`prints_of` the marks."""

    def __init__(self, context: Context, marking: Marking = UNKEYED) -> None:
        self.dropped = 0
        self.marking = marking
        self._take(context)

    def move(self, offset: int) -> None:
        """Stamp it with the offset of an event that repeats an earlier one."""
        self.offset = offset

    def add(self, event: Event, mark: int, offset: int) -> None:
        """Fold a new event: its offset is after `offset`, and its id's digest `mark` is not among `ids`.

        If it raises, nothing has changed.
        """
        kind = event.kind
        if event.item is None or kind is _STEER or kind is _FORGET:
            self._take(fold(self.finish(), event, offset, self.marking))
            return
        item, seen, prints = self.marking.known[event.item]
        ts, value, scene = event.ts, event.value, event.scene
        done = Interaction(item, kind, ts, mark, value)
        feeling, by_day = _OF_KIND[kind]
        if value is not None:
            feeling = sentiment(kind, value)
        how = by_day.get(ts // DAY_MS) or seen_as(kind, ts)
        its_print = prints[how[0]]
        # Nothing fails after this line.
        here = self._here if scene == self._last else self._enter(scene)
        recent = here.recent
        recent.append(done)
        if len(recent) > MAX_RECENT:
            del recent[0]
        here.met += 1
        if feeling > 0:
            likes = here.likes
            likes.pop(item, None)
            if here.dislikes:
                here.dislikes.pop(item, None)
            likes[item] = done
            here.liked += 1
            if len(likes) > MAX_LIKES:
                del likes[next(iter(likes))]
        elif feeling:
            here.dislike(item, done)
        row = self.seen
        at = self._prints.find(its_print)
        if at < 0:
            row += seen
            self.seen_as += how
            self._prints += its_print
            if len(row) > _SEEN_BYTES:
                self._drop(0)
                self.dropped += 1
        elif not row.startswith(seen, 8 * at) or not self.seen_as.startswith(how, 3 * at):
            self._see(seen, how, its_print)
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
                seen_as=bytes(self.seen_as),
            )
        return self._finished

    def encode(self) -> bytes:
        """The bytes of `finish()`."""
        if self.offset == self._finished.offset:
            return _encode(self._finished)
        scenes: dict[str, Any] = {}
        for name, scene in self.scenes.items():
            scenes[name] = scene if isinstance(scene, SceneContext) else scene.fields()
        ids, told = tuple(self.ids), self.seen_as or b""
        return _encode(_Written(self.offset, self.ts, scenes, self.seen or b"", ids, self.steers, told))

    def _take(self, context: Context) -> None:
        self._finished = context
        self.offset = context.offset
        self.ts = context.ts
        self.seen = bytearray(context.seen)
        self.seen_as = bytearray(as_of(context.seen, context.seen_as, context.ts))
        self.ids = dict.fromkeys(context.ids)
        self.steers = context.steers
        self.scenes = dict(context.scenes)
        self._last = None
        self._prints = prints_of(self.seen, self.seen_as) if self.seen else ""

    def _see(self, seen: bytes, how: bytes, its_print: str) -> None:
        """Mark an item whose print exists: it was met on another day, or it is another item."""
        at = find_mark(self.seen, self.seen_as, seen, how[0])
        if at >= 0:
            if not later(how, self.seen_as[AS_BYTES * at : AS_BYTES * (at + 1)]):
                return
            self._drop(at)
        self.seen += seen
        self.seen_as += how
        self._prints += its_print
        if len(self.seen) > _SEEN_BYTES:
            self._drop(0)
            self.dropped += 1

    def _drop(self, at: int) -> None:
        del self.seen[8 * at : 8 * at + 8]
        del self.seen_as[AS_BYTES * at : AS_BYTES * (at + 1)]
        self._prints = self._prints[:at] + self._prints[at + 1 :]

    def _enter(self, name: str) -> SceneDraft:
        """The draft of a scene, which becomes the last; if it is new, the first one makes room."""
        held = self.scenes.pop(name, _NO_SCENE)
        self._here = SceneDraft(held) if isinstance(held, SceneContext) else held
        while len(self.scenes) >= MAX_SCENES:
            del self.scenes[next(iter(self.scenes))]
        self.scenes[name] = self._here
        self._last = name
        return self._here
