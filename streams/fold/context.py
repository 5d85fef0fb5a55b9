"""A user's rolling context, and how one event changes it. Pure: no clock, no network, no global.

A context is bounded whatever the user does: at most `MAX_SCENES` scenes, each with `MAX_RECENT` interactions of any
kind, `MAX_LIKES` likes and `MAX_DISLIKES` dislikes; `MAX_SEEN` marks of seen items (`streams.fold.seen_marks`), one per
item and kind of event, at 11 bytes each; `MAX_IDS` event ids at 9; `MAX_STEERS` sentences. `MAX_CONTEXT_BYTES` is the
maximum size of one on the changelog, with every identifier at its greatest length in four-byte characters.

Interest by attribute is not stored: it is derived from the likes and dislikes (`streams.candidates.evidence`), so a
forgotten event leaves no interest behind.
"""

from struct import pack

import msgspec
import xxhash

from schemas.actions import sentiment
from schemas.events import Event, EventKind
from schemas.limits import MAX_STEERS
from streams.fold.marking import UNKEYED, Marking
from streams.fold.seen_marks import ANY, AS_BYTES, as_of, code_of, find_mark, see, seen_as, without

MAX_SCENES = 4
MAX_RECENT = 50
MAX_LIKES = 50
MAX_DISLIKES = 20
MAX_SEEN = 16_384
MAX_IDS = 32
MAX_CONTEXT_BYTES = 480_000

ENOUGH = 10
"""With fewer likes or interactions than this in a scene, those of other scenes count too, as older ones."""

# None of these can be part of a cycle, so the collector need not scan them (`gc=False`): they are most of a worker's
# memory.


class Interaction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event of the user about one item; `event` is the digest of the event's id."""

    item: str
    kind: EventKind
    ts: int
    event: int
    value: float | None = None


class SceneContext(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the user did in one scene, oldest first.

    `liked` counts every like ever folded here, `met` every interaction; forgotten ones stay counted.
    """

    recent: tuple[Interaction, ...] = ()
    likes: tuple[Interaction, ...] = ()
    dislikes: tuple[Interaction, ...] = ()
    liked: int = 0
    met: int = 0


class Steer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A sentence in which the user said what they want."""

    text: str
    ts: int
    event: int


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1, gc=False):
    """The state of one user.

    `offset` is the last offset of the user's partition of `ouzel.events` that is folded in: a record at or before it
    changes nothing. `ids` are the digests of the last event ids, to drop a producer's repeats. `seen` and `seen_as` are
    the marks of seen items (`streams.fold.seen_marks`).
    """

    offset: int = -1
    ts: int = 0
    scenes: dict[str, SceneContext] = {}
    seen: bytes = b""
    ids: tuple[int, ...] = ()
    steers: tuple[Steer, ...] = ()
    seen_as: bytes = b""


EMPTY = Context()


def digest(identifier: str) -> int:
    """The 64-bit digest under which an event's id is remembered. Items have another: see `streams.fold.marking`."""
    return xxhash.xxh3_64_intdigest(identifier.encode())


def digest_of(context: Context) -> str:
    """The digest of the last `MAX_IDS` events of a context, of every kind, in 16 hexadecimal digits."""
    return xxhash.xxh3_64_hexdigest(pack(f"<{len(context.ids)}Q", *context.ids))


def is_repeat(context: Context, event: Event, offset: int) -> bool:
    """Whether `event` at `offset` is folded already: delivered again by the broker, or sent again by its producer."""
    return offset <= context.offset or digest(event.id) in context.ids


def fold(context: Context, event: Event, offset: int, marking: Marking = UNKEYED) -> Context:
    """The context after `event`, which is at `offset` of its partition; items are marked by `marking`.

    If delivered again (an offset at or before the stamp), it is the same object. If sent again under another offset,
    only the stamp moves. An item is in the likes or in the dislikes of a scene, by the last opinion on it.
    """
    if offset <= context.offset:
        return context
    mark = digest(event.id)
    if mark in context.ids:
        return msgspec.structs.replace(context, offset=offset)
    scenes, seen, steers = context.scenes, context.seen, context.steers
    told = as_of(seen, context.seen_as, context.ts)
    if event.kind is EventKind.FORGET:
        scenes, seen, told, steers = _forget(context, told, digest(event.target or ""), marking)
    elif event.kind is EventKind.STEER:
        steers = (*steers, Steer(event.text or "", event.ts, mark))[-MAX_STEERS:]
    elif event.item is not None:
        done = Interaction(event.item, event.kind, event.ts, mark, event.value)
        scenes = _with_scene(scenes, event.scene, _add(scenes.get(event.scene, SceneContext()), done))
        seen, told = see(seen, told, marking.mark(event.item), seen_as(event.kind, event.ts), MAX_SEEN)
    return Context(
        offset=offset,
        ts=max(context.ts, event.ts),
        scenes=scenes,
        seen=seen,
        ids=(*context.ids, mark)[-MAX_IDS:],
        steers=steers,
        seen_as=told,
    )


def likes(context: Context, scene: str) -> tuple[Interaction, ...]:
    """The user's likes, oldest first: those of `scene`, after those of other scenes where it has fewer than ENOUGH.

    A user who is new in a scene is not new to the product.
    """
    here = context.scenes.get(scene, SceneContext()).likes
    if len(here) >= ENOUGH or len(context.scenes) < 2:
        return here
    elsewhere = [like for name, other in context.scenes.items() if name != scene for like in other.likes]
    known = {like.item for like in here}
    elsewhere = sorted((like for like in elsewhere if like.item not in known), key=lambda like: like.ts)
    return (*elsewhere, *here)[-MAX_LIKES:]


def lately(context: Context, scene: str) -> tuple[Interaction, ...]:
    """The user's last events of every kind, oldest first; filled from other scenes as likes are; at most 50."""
    here = context.scenes.get(scene, SceneContext()).recent
    if len(here) >= ENOUGH or len(context.scenes) < 2:
        return here
    elsewhere = [done for name, other in context.scenes.items() if name != scene for done in other.recent]
    return (*sorted(elsewhere, key=lambda done: done.ts), *here)[-MAX_RECENT:]


def leave_out(context: Context, event: int) -> Context:
    """The context as if the event of this digest had never been, but for marks and counts: what the user has seen stays
    seen. For asking what an event changes; a user's own request is `EventKind.FORGET`."""
    return msgspec.structs.replace(context, scenes=_without(context.scenes, event))


def _add(scene: SceneContext, done: Interaction) -> SceneContext:
    feeling = sentiment(done.kind, done.value)
    liked, disliked, total = scene.likes, scene.dislikes, scene.liked
    if feeling != 0:
        liked = tuple(x for x in liked if x.item != done.item)
        disliked = tuple(x for x in disliked if x.item != done.item)
    if feeling > 0:
        liked, total = (*liked, done)[-MAX_LIKES:], total + 1
    elif feeling < 0:
        disliked = (*disliked, done)[-MAX_DISLIKES:]
    # A state written before `met` was counted continues from its number of interactions.
    met = max(scene.met, len(scene.recent)) + 1
    return SceneContext((*scene.recent, done)[-MAX_RECENT:], liked, disliked, total, met)


def _with_scene(scenes: dict[str, SceneContext], name: str, scene: SceneContext) -> dict[str, SceneContext]:
    others = {key: value for key, value in scenes.items() if key != name}
    while len(others) >= MAX_SCENES:
        del others[next(iter(others))]
    return {**others, name: scene}  # the last used scene is last, so the first is the one to drop


def _forget(
    context: Context, told: bytes, mark: int, marking: Marking
) -> tuple[dict[str, SceneContext], bytes, bytes, tuple[Steer, ...]]:
    gone = {(x.item, x.kind) for scene in context.scenes.values() for x in _all(scene) if x.event == mark}
    scenes = _without(context.scenes, mark)
    kept = [x for scene in scenes.values() for x in _all(scene)]
    seen = context.seen
    for item, kind, of_item in ((*one, mark) for one in gone for mark in marking.marks(one[0])):
        if all(x.item != item for x in kept):
            seen, told = _unsee(seen, told, of_item, ANY)
        rest = [x.ts for x in kept if (x.item, x.kind) == (item, kind)]
        at = find_mark(seen, told, of_item, code_of(kind))
        if rest and at >= 0:
            told = told[: AS_BYTES * at] + seen_as(kind, max(rest)) + told[AS_BYTES * (at + 1) :]
        else:
            seen, told = _unsee(seen, told, of_item, code_of(kind))
    return scenes, seen, told, tuple(x for x in context.steers if x.event != mark)


def _without(scenes: dict[str, SceneContext], mark: int) -> dict[str, SceneContext]:
    return {
        name: SceneContext(
            tuple(x for x in scene.recent if x.event != mark),
            tuple(x for x in scene.likes if x.event != mark),
            tuple(x for x in scene.dislikes if x.event != mark),
            scene.liked,
            scene.met,
        )
        for name, scene in scenes.items()
    }


def _unsee(seen: bytes, told: bytes, mark: bytes, code: int) -> tuple[bytes, bytes]:
    at = find_mark(seen, told, mark, code)
    return without(seen, told, at) if at >= 0 else (seen, told)


def _all(scene: SceneContext) -> tuple[Interaction, ...]:
    return (*scene.recent, *scene.likes, *scene.dislikes)
