"""A draft equals the plain fold, event by event, from any context, whenever it is finished."""

from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from streams.fold import context as plain
from streams.fold import draft as drafts
from streams.fold import marking as markings
from streams.fold.context import EMPTY, Context, digest, fold
from streams.fold.draft import Draft
from streams.fold.marking import UNKEYED, Marking

TIGHT: dict[str, Any] = {
    "MAX_RECENT": 4,
    "MAX_LIKES": 3,
    "MAX_DISLIKES": 2,
    "MAX_SEEN": 5,
    "MAX_IDS": 3,
    "MAX_SCENES": 2,
}
"""Bounds so low that a short history reaches them all."""

items = [f"film-{number}" for number in range(8)]


def event(*, kind: EventKind, number: int, item: str, scene: str, ts: int, value: float = 0.0) -> Event:
    return Event(
        id=f"e{number}",
        user="ann",
        kind=kind,
        ts=ts,
        item=None if kind in {EventKind.STEER, EventKind.FORGET} else item,
        scene=scene,
        value=value if kind is EventKind.RATE else None,
        text="fewer horror films" if kind is EventKind.STEER else None,
        target=f"e{number // 2}" if kind is EventKind.FORGET else None,
    )


events = st.builds(
    event,
    kind=st.sampled_from(list(EventKind)),
    number=st.integers(0, 30),
    item=st.sampled_from(items),
    scene=st.sampled_from(["home", "cart", "up-next"]),
    ts=st.integers(0, 9).map(lambda thirds: 28_800_000 * thirds),
    value=st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
)
offsets = st.lists(st.integers(0, 3), min_size=60, max_size=60)


def step(draft: Draft, event: Event, offset: int) -> None:
    """Fold an event as `streams.fold.batch` does."""
    mark = digest(event.id)
    if mark not in draft.ids and offset > draft.offset:
        draft.add(event, mark, offset)
    elif offset > draft.offset:
        draft.move(offset)


def agree(
    history: list[Event], gaps: list[int], looks: int, start: Context = EMPTY, marking: Marking = UNKEYED
) -> None:
    """Fold `history` both ways; offsets go on by `gaps`, 0 is a repeat. The draft is finished at every `looks`-th, and
    written."""
    context, draft, offset = start, Draft(start, marking), start.offset
    for number, (each, gap) in enumerate(zip(history, gaps, strict=False)):
        offset += gap
        context = fold(context, each, offset, marking)
        step(draft, each, offset)
        if number % looks == 0:
            assert draft.encode() == msgspec.msgpack.encode(context)
            assert draft.finish() == context
            assert draft.finish() is draft.finish()
    assert draft.encode() == msgspec.msgpack.encode(context)
    assert draft.finish() == context
    assert draft.encode() == msgspec.msgpack.encode(draft.finish()) == msgspec.msgpack.encode(context)


@given(st.lists(events, max_size=60), offsets, st.integers(1, 7))
def test_draft_equals_the_plain_fold(history: list[Event], gaps: list[int], looks: int) -> None:
    agree(history, gaps, looks)


@given(
    st.lists(events, max_size=60),
    offsets,
    st.integers(1, 7),
    st.integers(0, 40),
    st.sampled_from([UNKEYED, Marking(b"secret"), Marking(b"secret", mixed=True)]),
)
def test_draft_equals_the_plain_fold_at_every_bound(
    history: list[Event], gaps: list[int], looks: int, stored: int, marking: Marking
) -> None:
    """Also from a context that was folded before, stored and read again, be it with marks from before the secret."""
    inside: dict[str, Any] = {"_SEEN_BYTES": 8 * TIGHT["MAX_SEEN"]}
    with (
        patch.multiple(plain, **TIGHT),
        patch.multiple(drafts, **{name: bound for name, bound in TIGHT.items() if hasattr(drafts, name)}, **inside),
    ):
        start = EMPTY
        for offset, each in enumerate(history[:stored]):
            start = fold(start, each, offset, UNKEYED if marking.mixed else marking)
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(start), type=Context)
        agree(history[stored:], gaps, looks, again, marking)


@given(st.lists(events, max_size=60), offsets, st.integers(1, 7))
def test_draft_equals_the_plain_fold_if_all_prints_are_equal(history: list[Event], gaps: list[int], looks: int) -> None:
    """Then only the row of seen items distinguishes them."""
    with patch.object(markings, "PRINT", 0):
        agree(history, gaps, looks, marking=Marking(b"secret"))


@given(st.lists(events, max_size=20))
@example(
    [
        event(kind=EventKind.LIKE, number=1, item="film-1", scene="home", ts=5),
        event(kind=EventKind.FORGET, number=2, item="", scene="home", ts=6),
    ]
)
def test_finished_context_does_not_grow(history: list[Event]) -> None:
    """A finished context does not change afterwards."""
    draft = Draft(EMPTY)
    given_out = []
    for offset, each in enumerate(history):
        step(draft, each, offset)
        given_out.append((draft.finish(), msgspec.msgpack.encode(draft.finish())))
    assert [msgspec.msgpack.encode(context) for context, _ in given_out] == [then for _, then in given_out]
