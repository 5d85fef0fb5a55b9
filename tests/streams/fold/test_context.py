"""The fold of one user's events: bounded, idempotent, and able to forget."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from schemas.limits import MAX_STEERS
from streams.fold import context as ctx
from streams.fold.context import EMPTY, Context, fold

ITEM_KINDS = [k for k in EventKind if k not in {EventKind.STEER, EventKind.FORGET}]


def event(number: int, kind: EventKind = EventKind.LIKE, item: str = "a", **fields: object) -> Event:
    return Event(id=f"e{number}", user="u", kind=kind, ts=1_000 + number, item=item, **fields)  # type: ignore[arg-type]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    length = draw(st.integers(0, 60))
    out = []
    for _ in range(length):
        number = draw(st.integers(0, 80))  # numbers repeat: producers send again
        kind = draw(st.sampled_from(list(EventKind)))
        scene = draw(st.sampled_from(["default", "home", "cart", "next", "search", "mail"]))
        if kind is EventKind.FORGET:
            out.append(Event(id=f"e{number}", user="u", kind=kind, ts=number, target=f"e{draw(st.integers(0, 80))}"))
        elif kind is EventKind.STEER:
            out.append(Event(id=f"e{number}", user="u", kind=kind, ts=number, text="less horror"))
        else:
            value = draw(st.floats(1, 5)) if kind is EventKind.RATE else None
            item = draw(st.sampled_from("abcdefghij"))
            out.append(Event(id=f"e{number}", user="u", kind=kind, ts=number, item=item, scene=scene, value=value))
    return out


def run(events: list[Event], start: Context = EMPTY) -> Context:
    for offset, one in enumerate(events):
        start = fold(start, one, offset)
    return start


@given(streams(), st.data())
@settings(max_examples=60, deadline=None)
def test_redelivery_from_any_point_changes_nothing(events: list[Event], data: st.DataObject) -> None:
    once = run(events)
    back = data.draw(st.integers(0, len(events)))
    again = once
    for offset in range(back, len(events)):
        again = fold(again, events[offset], offset)
    assert again is once


@given(streams())
@settings(max_examples=60, deadline=None)
def test_bounds_hold_and_bytes_round_trip(events: list[Event]) -> None:
    context = run(events)
    assert len(context.scenes) <= ctx.MAX_SCENES
    assert len(context.ids) <= ctx.MAX_IDS
    assert len(context.steers) <= MAX_STEERS
    assert len(context.seen) <= 8 * ctx.MAX_SEEN
    assert len(context.seen_as) * 8 == len(context.seen) * 3
    for scene in context.scenes.values():
        assert len(scene.recent) <= ctx.MAX_RECENT
        assert len(scene.likes) <= ctx.MAX_LIKES
        assert not {x.item for x in scene.likes} & {x.item for x in scene.dislikes}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(context), type=Context) == context


def test_largest_context_fits_its_stated_bound() -> None:
    widest = "\N{GRINNING FACE}"
    context = EMPTY
    offset = 0
    for scene in range(ctx.MAX_SCENES + 1):
        name = (str(scene) + widest * 32)[:32]
        for number in range(ctx.MAX_SEEN // 3):
            kind = (EventKind.PURCHASE, EventKind.DISLIKE)[number % 3 == 0]
            item = (f"{scene}-{number}-" + widest * 128)[:128]
            one = Event(id=f"{scene}/{number}", user="u", kind=kind, ts=2**53, item=item, scene=name, value=4.5)
            context = fold(context, one, offset)
            offset += 1
    for number in range(5):
        text = (str(number) + widest * 280)[:280]
        context = fold(context, Event(id=text[:20], user="u", kind=EventKind.STEER, ts=1, text=text), offset + number)
    size = len(msgspec.msgpack.encode(context))
    assert ctx.MAX_CONTEXT_BYTES * 0.8 < size <= ctx.MAX_CONTEXT_BYTES


def test_producers_repeat_moves_only_the_stamp() -> None:
    first = fold(EMPTY, event(1), 5)
    again = fold(first, event(1), 9)
    assert again == msgspec.structs.replace(first, offset=9)
    assert ctx.is_repeat(first, event(1), 9)
    assert not ctx.is_repeat(first, event(2), 9)


def test_digest_changes_with_each_event_and_follows_from_the_last_ones() -> None:
    contexts = [EMPTY]
    for number in range(ctx.MAX_IDS + 3):
        contexts.append(fold(contexts[-1], event(number), number))
    digests = [ctx.digest_of(each) for each in contexts]
    assert len(set(digests)) == len(digests)
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in digests)
    later = EMPTY
    for number in range(3, ctx.MAX_IDS + 3):
        later = fold(later, event(number), number)
    assert ctx.digest_of(later) == digests[-1]
    assert ctx.digest_of(fold(contexts[5], event(4), 99)) == digests[5]


def test_last_opinion_on_an_item_counts() -> None:
    context = run([event(1), event(2, EventKind.DISLIKE), event(3, item="b")])
    scene = context.scenes["default"]
    assert [x.item for x in scene.likes] == ["b"]
    assert [x.item for x in scene.dislikes] == ["a"]
    assert [x.item for x in scene.recent] == ["a", "a", "b"]


def test_ratings_are_likes_dislikes_or_neither() -> None:
    context = run([event(i, EventKind.RATE, item=str(i), value=float(i)) for i in range(1, 6)])
    scene = context.scenes["default"]
    assert [x.item for x in scene.likes] == ["4", "5"]
    assert [x.item for x in scene.dislikes] == ["1", "2"]


def test_forgetting_an_event_removes_its_effects() -> None:
    kept = [event(1, item="a"), event(3, item="b")]
    with_it = run([kept[0], event(2, item="z"), kept[1]])
    after = fold(with_it, Event(id="f", user="u", kind=EventKind.FORGET, ts=9, target="e2"), 3)
    assert after.seen == run(kept).seen
    assert after.scenes["default"].likes == run(kept).scenes["default"].likes
    assert after.scenes["default"].recent == run(kept).scenes["default"].recent


def test_forgetting_keeps_the_marks_of_other_events() -> None:
    context = run([event(1, item="a"), event(2, EventKind.VIEW, item="a")])
    after = fold(context, Event(id="f", user="u", kind=EventKind.FORGET, ts=9, target="e1"), 2)
    assert (after.seen, after.seen_as) == (context.seen[8:], context.seen_as[3:])  # the view's mark
    assert after.scenes["default"].likes == ()


def test_forgetting_the_later_of_two_events_leaves_the_day_of_the_earlier() -> None:
    day = 86_400_000
    first = Event(id="1", user="u", kind=EventKind.LIKE, ts=5 * day, item="a")
    once = run([first])
    twice = fold(once, Event(id="2", user="u", kind=EventKind.LIKE, ts=9 * day, item="a"), 1)
    assert twice.seen_as != once.seen_as
    after = fold(twice, Event(id="f", user="u", kind=EventKind.FORGET, ts=9 * day, target="2"), 2)
    assert (after.seen, after.seen_as) == (once.seen, once.seen_as)


def test_least_recently_used_scene_is_dropped() -> None:
    names = ["a", "b", "c", "d", "a", "e"]
    context = run([event(i, item=str(i), scene=name) for i, name in enumerate(names)])
    assert set(context.scenes) == {"a", "c", "d", "e"}


def test_likes_of_other_scenes_help_a_newcomer_to_a_scene() -> None:
    context = run([event(1, item="x", scene="home"), event(2, item="y", scene="cart")])
    assert [x.item for x in ctx.likes(context, "cart")] == ["x", "y"]
    assert [x.item for x in ctx.likes(context, "mail")] == ["x", "y"]
