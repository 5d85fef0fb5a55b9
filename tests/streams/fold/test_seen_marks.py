"""Seen items stay seen: no item that a user has met is on their lists, however many they have met."""

from collections.abc import Sequence

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.seen import DAY_MS, KINDS, SeenRule, day_of
from streams.agents.dropped_marks import DroppedMarks
from streams.fold import draft as drafts
from streams.fold.batch import fold_batch
from streams.fold.context import EMPTY, MAX_CONTEXT_BYTES, MAX_SEEN, Context, digest, fold
from streams.fold.draft import Draft
from streams.fold.seen_marks import AS_BYTES, CODES, as_of, find_seen, hidden, see, seen_as
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from tests.streams.fold.test_batch import Record, State
from tests.support.ranking_world import NOW, World, done, item

EVENTS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(KINDS), st.integers(0, 40), st.integers(0, DAY_MS - 1)),
    max_size=40,
)
RULES = st.builds(
    SeenRule,
    kinds=st.frozensets(st.sampled_from(KINDS), min_size=1),
    days=st.sampled_from([None, 0, 1, 7, 30]),
)


def marks(names: Sequence[str], kind: EventKind = EventKind.VIEW, ts: int = 0) -> tuple[bytes, bytes]:
    row = b"".join(digest(name).to_bytes(8, "little") for name in names)
    return row, seen_as(kind, ts) * len(names)


@given(EVENTS, RULES, st.integers(0, 60))
def test_rule_hides_items_by_kind_and_age(rows, rule, today):
    row, told = b"", b""
    last: dict[tuple[str, EventKind], int] = {}
    for name, kind, day, ms in rows:
        ts = day * DAY_MS + ms
        row, told = see(row, told, digest(name).to_bytes(8, "little"), seen_as(kind, ts), MAX_SEEN)
        last[name, kind] = max(last.get((name, kind), 0), ts)
    assert len(row) == 8 * len(last)
    assert len(told) == AS_BYTES * len(last)
    now = today * DAY_MS
    found = set(hidden(row, told, rule, now).tolist())
    assert found == {digest(name) for (name, kind), ts in last.items() if rule.hides(kind, ts, now)}
    days = [told[at + 1] | told[at + 2] << 8 for at in range(0, len(told), AS_BYTES)]
    assert sorted(days) == sorted(day_of(ts) for ts in last.values())


def test_item_comes_back_after_full_days():
    rule = SeenRule(days=7)
    noon = 100 * DAY_MS + DAY_MS // 2
    assert rule.hides(EventKind.VIEW, noon, noon + 7 * DAY_MS)
    assert rule.hides(EventKind.VIEW, noon, 108 * DAY_MS - 1)
    assert not rule.hides(EventKind.VIEW, noon, 108 * DAY_MS)


def test_user_with_16_384_items_is_shown_all_others():
    """No false negative, and of a million other items none is taken for seen: the bound is 2^-50 each."""
    seen = [f"seen-{number}" for number in range(MAX_SEEN)]
    row, told = marks(seen)
    found = hidden(row, told, SeenRule(), NOW)
    others = np.array([digest(f"other-{number}") for number in range(1_000_000)], np.uint64)
    assert np.isin(np.array([digest(each) for each in seen], np.uint64), found).all()
    assert not np.isin(others, found).any()


def test_met_items_are_off_the_list_up_to_the_bound():
    made = World([item(f"i{number}") for number in range(3_000)])
    draft = Draft(EMPTY)
    for number in range(2_900):
        draft.add(done("heavy", f"i{number}", EventKind.VIEW, at=number), number, number)
    made.tell(*(done(f"u{number}", f"i{number % 60}", at=5_000 + number) for number in range(300)))
    made.people["heavy"] = draft.finish()
    listed = made.ids(made.shortlist("heavy", now_ms=NOW + 9_999))
    assert listed
    assert {int(name[1:]) for name in listed} <= set(range(2_900, 3_000))
    assert draft.dropped == 0


def test_oldest_mark_beyond_the_bound_is_dropped_and_counted():
    draft = Draft(EMPTY)
    for number in range(MAX_SEEN + 3):
        draft.add(done("heavy", f"i{number}", EventKind.VIEW), number, number)
    assert draft.dropped == 3
    context = draft.finish()
    assert len(context.seen) == 8 * MAX_SEEN
    found = set(hidden(context.seen, context.seen_as, SeenRule(), NOW).tolist())
    assert not found & {digest(f"i{number}") for number in range(3)}
    assert digest("i3") in found
    assert len(msgspec.msgpack.encode(context)) < MAX_CONTEXT_BYTES


def test_mark_of_a_later_day_is_dropped_last():
    row, told = marks(["a", "b", "c"], ts=0)
    row, told = see(row, told, digest("a").to_bytes(8, "little"), seen_as(EventKind.VIEW, DAY_MS), 3)
    row, told = see(row, told, digest("d").to_bytes(8, "little"), seen_as(EventKind.VIEW, DAY_MS), 3)
    assert row == marks(["c", "a", "d"])[0]


def test_context_written_before_kinds_is_read():
    """Its marks count as of any kind, on the day of its last event."""

    class Old(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
        offset: int
        ts: int
        seen: bytes

    row, _ = marks(["a", "b"])
    raw = msgspec.msgpack.encode(Old(offset=4, ts=50 * DAY_MS, seen=row))
    old = msgspec.msgpack.decode(raw, type=Context)
    catalogue = Catalogue()
    for name in "abc":
        catalogue.add(Item(id=name, title=name))
    shop, news = SeenRule(frozenset({EventKind.PURCHASE})), SeenRule(days=7)
    for context in (old, Draft(old).finish()):
        for rule, now in ((SeenRule(), NOW), (shop, NOW), (news, 57 * DAY_MS)):
            assert sorted(catalogue.seen(context, now, rule).tolist()) == [0, 1]
        assert not len(catalogue.seen(context, 58 * DAY_MS, news))
    one = Event(id="e", user="u", kind=EventKind.VIEW, ts=51 * DAY_MS, item="c")
    draft = Draft(old)
    draft.add(one, digest("e"), 5)
    assert draft.finish() == fold(old, one, 5)
    assert draft.encode() == msgspec.msgpack.encode(fold(old, one, 5))
    assert sorted(catalogue.seen(draft.finish(), NOW, SeenRule()).tolist()) == [0, 1, 2]


def test_worker_from_before_kinds_reads_new_contexts():
    class Old(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
        offset: int = -1
        seen: bytes = b""

    context = fold(EMPTY, done("ann", "a"), 0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(context), type=Old).seen == context.seen


def test_codes_of_stored_marks_never_change():
    assert {kind.value: code for kind, code in CODES.items()} == {
        "view": 1,
        "click": 2,
        "like": 3,
        "dislike": 4,
        "cart": 5,
        "purchase": 6,
        "rate": 7,
        "dismiss": 8,
    }
    assert seen_as(EventKind.PURCHASE, 19_723 * DAY_MS + 5) == b"\x06\x0b\x4d"
    assert seen_as(EventKind.VIEW, 2**53) == b"\x01\xff\xff"
    assert as_of(b"12345678", b"", 3 * DAY_MS) == b"\x00\x03\x00"


def test_digest_across_two_others_is_not_found():
    mark = digest("a").to_bytes(8, "little")
    row = b"\x01\x02\x03\x04" + mark + b"\x05\x06\x07\x08"
    assert find_seen(row, mark) == -1
    assert find_seen(row + mark, mark) == 16


def test_dropped_marks_of_a_batch_are_reported_once(monkeypatch):
    monkeypatch.setattr(drafts, "_SEEN_BYTES", 8 * 5)
    state = State()
    records = [Record(number, b"u", encode(done("u", f"i{number}"))) for number in range(12)]
    folded = fold_batch(records[:9], state, partition=3, now_ms=NOW, window_ms=1)
    assert folded.unseen == 4
    assert folded.drafts["u"].dropped == 0
    assert fold_batch(records[:2], State(), partition=3, now_ms=NOW, window_ms=1).unseen == 0


def test_dropped_marks_are_counted_and_logged_at_intervals_without_ids(caplog):
    metrics, now = Metrics(), 100.0
    dropped = DroppedMarks(metrics.unseen, lambda: now)
    with caplog.at_level("WARNING"):
        dropped.report(3, 0)
        assert not caplog.records
        for _ in range(4):
            dropped.report(3, 2)
        now += 60.0
        dropped.report(3, 1)
    assert metrics.registry.get_sample_value("ouzel_dropped_seen_marks_total") == 9
    assert [record.getMessage().startswith("Partition 3: a user has more than 16384") for record in caplog.records] == [
        True,
        True,
    ]
