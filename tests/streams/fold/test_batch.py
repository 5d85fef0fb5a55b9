"""Batches folded: order, repeats, refusals, and independence of where a batch is cut."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode_event, encode
from schemas.errors import Refusal
from schemas.events import Event, EventKind
from streams.errors import StoreFailed
from streams.fold import batch as folding
from streams.fold.attribution import Exposed, Exposure
from streams.fold.batch import Folded, fold_batch
from streams.fold.context import EMPTY, Context, fold
from streams.fold.draft import Draft
from streams.privacy.erasure import NO_VERSIONS, Erasure, Versions, covers

NOW = 1_700_000_000_000
WINDOW = 60_000


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    partition: int = 3


class State:
    """A state in memory that applies the results of batches."""

    def __init__(self) -> None:
        self.contexts: dict[str, Context] = {}
        self.exposures: dict[str, Exposure] = {}
        self.read_by: dict[str, Versions] = {}
        self.erasures: dict[bytes, Erasure] = {}

    def context(self, user: str) -> Context:
        return self.contexts.get(user, EMPTY)

    def draft(self, user: str) -> Draft:
        return Draft(self.context(user))

    def exposure(self, user: str) -> Exposure:
        return self.exposures.get(user, Exposure())

    def versions(self, user: str) -> Versions:
        return self.read_by.get(user, NO_VERSIONS)

    def erasure(self, order: bytes) -> Erasure | None:
        return self.erasures.get(order)

    @property
    def erased_to(self) -> int:
        return max((each.offset for each in self.erasures.values()), default=-1)

    def erased(self, user: str, offset: int) -> bool:
        return any(covers(each, user, offset) for each in self.erasures.values())

    def take(self, *records: Record, max_age_ms: float = float("inf")) -> Folded:
        folded = fold_batch(records, self, partition=3, now_ms=NOW, window_ms=WINDOW, max_age_ms=max_age_ms)
        for user in folded.cleared:
            self.read_by.pop(user, None)
            self.contexts.pop(user, None)
            self.exposures.pop(user, None)
        self.erasures.update(folded.erasures)
        self.contexts.update({user: draft.finish() for user, draft in folded.drafts.items()})
        self.exposures.update(folded.exposures)
        return folded


def like(number: int, user: str = "ann", item: str | None = None, **more: Any) -> Event:
    return Event(id=f"{user}-{number}", user=user, kind=EventKind.LIKE, ts=NOW, item=item or f"film-{number}", **more)


def record(offset: int, event: Event) -> Record:
    return Record(offset, event.user.encode(), encode(event))


def test_batch_folds_each_users_events_in_order() -> None:
    state = State()
    folded = state.take(record(0, like(1)), record(1, like(1, "bob")), record(2, like(2)))
    assert [x.item for x in state.context("ann").scenes["default"].likes] == ["film-1", "film-2"]
    assert state.context("ann").offset == 2
    assert folded.kinds[EventKind.LIKE] == 3
    assert folded.triggers == {"ann": (like(2), 2, 0), "bob": (like(1, "bob"), 1, 0)}
    assert (folded.last, folded.repeats, folded.dead) == (2, 0, [])


@pytest.mark.parametrize("late", [0, 1])
def test_late_event_hides_no_trigger(late: int) -> None:
    """A phone that was offline sends an event of an hour ago right after a current one."""
    old = msgspec.structs.replace(like(9), ts=NOW - 3_600_000)
    told = [like(1), old] if late else [old, like(1)]
    folded = State().take(*(record(at, event) for at, event in enumerate(told)), max_age_ms=60_000)
    assert folded.triggers == {"ann": (like(1), 1 - late, 0)}
    assert folded.stale == 1


def test_batch_sends_each_item_owner_one_message() -> None:
    folded = State().take(record(0, like(1)), record(1, like(2)), record(2, like(3, "bob", "film-1")))
    told = {each.item: each for each in folded.covisits}
    assert [update.offset for update in told["film-1"].updates] == [0, 2]
    assert [earlier.item for earlier in told["film-2"].updates[0].earlier] == ["film-1"]
    assert {each.partition for each in folded.covisits} == {3}


def test_refused_record_keeps_its_bytes() -> None:
    garbage = Record(7, b"ann", b"\xff\x00garbage")
    folded = State().take(record(6, like(1)), garbage, record(8, like(2)))
    assert folded.kinds[EventKind.LIKE] == 2
    (letter,) = folded.dead
    assert (letter.value, letter.key, letter.topic, letter.partition, letter.offset, letter.ts) == (
        garbage.value,
        b"ann",
        "ouzel.events",
        3,
        7,
        NOW,
    )
    assert letter.code is Refusal.MALFORMED


def test_event_that_breaks_the_fold_does_not_block_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(before: Context, event: Event, offset: int, partition: int) -> tuple[()]:
        if event.item == "film-2":
            raise ZeroDivisionError("film-2")
        return ()

    monkeypatch.setattr(folding, "covisits", broken)
    state = State()
    folded = state.take(record(0, like(1)), record(1, like(2)), record(2, like(3)))
    assert [x.item for x in state.context("ann").scenes["default"].likes] == ["film-1", "film-3"]
    (letter,) = folded.dead
    assert (letter.code, letter.offset, letter.detail) == (Refusal.FAILED, 1, "ZeroDivisionError")


def test_producers_repeat_moves_the_stamp_only() -> None:
    state = State()
    state.take(record(0, like(1)))
    before = state.context("ann")
    folded = state.take(record(1, like(1)))
    assert folded.repeats == 1
    assert (sum(folded.kinds.values()), folded.covisits, folded.triggers) == (0, [], {})
    assert state.context("ann").offset == 1
    assert state.context("ann").scenes == before.scenes


def test_redelivery_changes_nothing_but_triggers_the_newest_list_again() -> None:
    state = State()
    records = [record(0, like(1)), record(1, like(2)), record(2, like(1, "bob"))]
    state.take(*records)
    folded = state.take(*records)
    assert (folded.drafts, folded.covisits, folded.feedback, folded.judged) == ({}, [], [], [])
    assert sum(folded.kinds.values()) == 0
    assert folded.triggers == {"ann": (like(2), 1, 0), "bob": (like(1, "bob"), 2, 0)}
    assert folded.repeats == 3


@pytest.mark.parametrize("late", [0, 1])
def test_redelivered_late_event_hides_no_trigger(late: int) -> None:
    """A crash between the fold and the list must not lose the list that the current event calls for."""
    old = msgspec.structs.replace(like(9), ts=NOW - 3_600_000)
    records = [record(at, event) for at, event in enumerate([like(1), old] if late else [old, like(1)])]
    state = State()
    state.take(*records, max_age_ms=60_000)
    again = state.take(*records, max_age_ms=60_000)
    assert again.triggers == {"ann": (like(1), 1 - late, 0)}
    assert again.stale == 0


def test_reactions_join_open_lists_within_the_batch() -> None:
    state = State()
    shown = Exposed("list-1", NOW - 10, "default", None, ("film-1", "film-2"), (1.0, 1.0))
    state.exposures["ann"] = Exposure((shown,))
    folded = state.take(record(0, like(1)), record(1, like(2)))
    assert [(each.item, each.position) for each in folded.feedback] == [("film-1", 0), ("film-2", 1)]
    assert folded.exposures["ann"].lists[0].taken
    assert [(judged.item, judged.position, offset) for judged, offset in folded.judged] == [
        ("film-1", 0, 0),
        ("film-2", 1, 1),
    ]


def test_reactions_read_again_after_a_crash_come_out_the_same() -> None:
    """Also where the open lists were durable before the contexts were."""
    shown = Exposed("list-1", NOW - 10, "default", None, ("film-1", "film-2"), (1.0, 1.0))
    records = [record(0, like(1)), record(1, like(2)), record(2, like(3))]
    for durable in (False, True):
        state = State()
        state.exposures["ann"] = Exposure((shown,))
        first = state.take(*records)
        if not durable:
            state.exposures["ann"] = Exposure((shown,))
        state.contexts.clear()
        again = state.take(*records)
        assert [each.id for each in again.feedback] == [each.id for each in first.feedback]
        assert [bool(each.shown) for each in again.feedback] == [True, False]
        assert again.feedback == first.feedback
        assert again.judged == first.judged


def test_age_is_judged_once_by_the_clock_of_the_batch() -> None:
    aged = [
        msgspec.structs.replace(like(n, user), ts=NOW - age)
        for n, (user, age) in enumerate([("ann", 0), ("bob", 60_000), ("cem", 60_001), ("dan", -2_000)])
    ]
    folded = State().take(*(record(at, event) for at, event in enumerate(aged)), max_age_ms=60_000)
    assert {user: age for user, (_, _, age) in folded.triggers.items()} == {"ann": 0, "bob": 60_000, "dan": -2_000}
    assert folded.stale == 1


def test_empty_batch_has_no_results() -> None:
    assert State().take() == Folded()


kinds = st.sampled_from([EventKind.VIEW, EventKind.LIKE, EventKind.DISLIKE, EventKind.FORGET])
events = st.builds(
    lambda kind, user, number: (
        Event(id=f"e{number}", user=user, kind=kind, ts=NOW, target=f"e{number - 1}")
        if kind is EventKind.FORGET
        else Event(id=f"e{number}", user=user, kind=kind, ts=NOW, item=f"film-{number % 7}")
    ),
    kinds,
    st.sampled_from(["ann", "bob", "cem"]),
    st.integers(0, 30),
)
values = st.one_of(events.map(lambda e: (e.user.encode(), encode(e))), st.tuples(st.none(), st.binary(max_size=12)))


@given(st.lists(values, max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_batches_may_be_cut_anywhere(sent: list[tuple[bytes | None, bytes]], cuts: list[int]) -> None:
    """Any split into batches, with any part delivered again, equals a plain fold of the events one by one."""
    records = [Record(offset, key, value) for offset, (key, value) in enumerate(sent)]
    whole, pieces = State(), State()
    all_at_once = whole.take(*records)
    told, accepted, position = [], 0, 0
    for cut in [*cuts, len(records)]:
        again = max(0, min(cut, position))  # a crash: back to the committed offset, and on to a later end
        folded = pieces.take(*records[again : max(cut, position)])
        position = max(cut, position)
        told += [(each.item, update) for each in folded.covisits for update in each.updates]
        accepted += sum(folded.kinds.values())
    assert pieces.contexts == whole.contexts
    assert accepted == sum(all_at_once.kinds.values())
    assert sorted(told, key=lambda pair: pair[1].offset) == sorted(
        ((each.item, update) for each in all_at_once.covisits for update in each.updates),
        key=lambda pair: pair[1].offset,
    )
    plain: dict[str, Context] = {}
    for offset, (_, value) in enumerate(sent):
        if not any(letter.offset == offset for letter in all_at_once.dead):
            event = decode_event(value, key=sent[offset][0], now_ms=NOW)
            plain[event.user] = fold(plain.get(event.user, EMPTY), event, offset)
    assert whole.contexts == plain


def test_unreadable_disk_makes_no_dead_letter() -> None:
    class Broken(State):
        def context(self, user: str) -> Context:
            raise StoreFailed("the state is damaged")

    with pytest.raises(StoreFailed):
        Broken().take(record(0, like(1)))
