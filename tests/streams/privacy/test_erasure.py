"""Erasing a user in the fold: at the order's offset, and again after a crash, however often it is delivered or sent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.errors import Refusal
from schemas.events import Event, EventKind
from schemas.privacy import ErasureOrder
from schemas.topics import EVENTS, PRIVACY
from streams.agents.erasure_orders import forward
from streams.fold.attribution import NONE, Exposed, Exposure
from streams.fold.context import EMPTY, digest
from streams.privacy.erasure import MAX_VERSIONS, NO_VERSIONS, Versions, covers, order_digest, receipt, with_version
from tests.streams.fold.test_batch import NOW, Record, State, like, record


def erase(user: str = "ann", order: str = "o-1") -> Event:
    return Event(id=order, user=user, kind=EventKind.ERASE, ts=NOW)


def test_erasure_clears_earlier_events() -> None:
    state = State()
    state.take(record(0, like(1)), record(1, like(1, "bob")))
    state.exposures["ann"] = Exposure((Exposed("l", NOW - 1, "home", "m-1", ("film-1",), (1.0,)),))
    state.read_by["ann"] = Versions(("m-1",))
    folded = state.take(record(2, like(2)), record(3, erase()), record(4, like(3)), record(5, like(2, "bob")))
    ((event, done, _),) = folded.receipts
    assert (event.id, done.offset, done.parts) == ("o-1", 3, ("context", "open-lists", "model-versions"))
    assert done.versions == ("m-1",)
    assert folded.cleared == {"ann": "ann"}
    assert [x.item for x in state.context("ann").scenes["default"].recent] == ["film-3"]
    assert len(state.context("ann").ids) == 1
    assert digest("film-1").to_bytes(8, "little") not in state.context("ann").seen
    assert (state.exposure("ann"), state.versions("ann")) == (NONE, NO_VERSIONS)
    assert [x.item for x in state.context("bob").scenes["default"].recent] == ["film-1", "film-2"]
    assert folded.triggers["ann"][0].id == "ann-3"


def test_erased_user_has_no_trigger() -> None:
    folded = State().take(record(0, like(1)), record(1, erase()))
    assert folded.triggers == {}
    assert not folded.drafts


def test_unknown_user_has_a_receipt_too() -> None:
    ((_, done, _),) = State().take(record(7, erase("unknown"))).receipts
    assert (done.parts, done.versions) == ((), ())


def test_order_sent_again_clears_nothing_more() -> None:
    state = State()
    state.take(record(0, like(1)), record(1, erase()), record(2, like(2)))
    folded = state.take(record(3, erase()))
    assert folded.cleared == {}
    assert [x.item for x in state.context("ann").scenes["default"].recent] == ["film-2"]
    ((_, again, _),) = folded.receipts
    assert (again.offset, again.parts) == (1, ("context",))


def test_another_order_clears_the_new_life() -> None:
    state = State()
    state.take(record(0, like(1)), record(1, erase()), record(2, like(2)), record(3, erase(order="o-2")))
    assert state.context("ann") is EMPTY


def test_one_order_id_of_two_users_is_two_orders() -> None:
    state = State()
    state.take(record(0, like(1)), record(1, like(1, "bob")), record(2, erase()), record(3, erase("bob")))
    assert state.context("bob") is EMPTY


PEOPLE = ("ann", "bob")
STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(PEOPLE), st.integers(0, 3)), max_size=14)


@given(STEPS, st.data())
def test_outcome_is_the_same_however_far_back_a_crash_goes(
    steps: list[tuple[bool, str, int]], data: st.DataObject
) -> None:
    """And while it is read again, no data from before an order returns."""
    records = [
        record(at, erase(user, f"o-{number}") if erases else like(number, user))
        for at, (erases, user, number) in enumerate(steps)
    ]
    whole, cut = State(), State()
    whole.take(*records)
    done = 0
    while done < len(records):
        for again in records[data.draw(st.integers(0, done)) : done]:
            before = {user: cut.context(user) for user in PEOPLE}
            cut.take(again)
            assert {user: cut.context(user) for user in PEOPLE} == before
        end = data.draw(st.integers(done + 1, len(records)))
        cut.take(*records[done:end])
        done = end
    for user in PEOPLE:
        assert cut.context(user) == whole.context(user)
    assert cut.erasures == whole.erasures


def test_redelivered_order_clears_what_a_crash_left() -> None:
    state = State()
    state.take(record(0, like(1)))
    before = state.context("ann")
    state.take(record(1, erase()))
    state.contexts["ann"] = before  # of the write, only the record of the execution was durable
    folded = state.take(record(1, erase()))
    assert folded.cleared == {"ann": "ann"}
    assert state.context("ann") is EMPTY
    assert folded.receipts[0][1].parts == ("context",)


def test_record_of_an_order_holds_no_id() -> None:
    ((_, done, _),) = State().take(record(3, erase("a-quite-long-user-id", "an-order-id"))).receipts
    kept = msgspec.msgpack.encode(done)
    assert b"user-id" not in kept
    assert b"order-id" not in kept
    assert covers(done, "a-quite-long-user-id", 3)
    assert not covers(done, "a-quite-long-user-id", 4)
    assert not covers(done, "another", 3)
    assert order_digest("o", "ann") != order_digest("o", "bob")


def test_receipt_says_what_was_cleared_and_what_remains() -> None:
    state = State()
    state.take(record(0, like(1)))
    ((event, done, _),) = state.take(record(1, erase())).receipts
    made = receipt(done, event, 3, alias="ann", found=("last-list@worker",), left=("prefix@model",))
    assert made.cleared == ("context@ouzel.contexts/3", "last-list@worker")
    assert made.remains[:2] == ("prefix@model", "records@ouzel.events")
    assert (made.order, made.user, made.partition, made.offset) == ("o-1", "ann", 3, 1)
    assert decode(type(made), encode(made)) == made


def test_versions_are_kept_once_and_bounded() -> None:
    versions = NO_VERSIONS
    for number in range(2 * MAX_VERSIONS):
        versions = with_version(with_version(versions, f"m-{number}"), f"m-{number}")
    assert versions.names == tuple(f"m-{number}" for number in range(MAX_VERSIONS, 2 * MAX_VERSIONS))
    assert with_version(versions, versions.names[0]) is versions


def test_order_is_forwarded_among_the_users_events() -> None:
    order = ErasureOrder(id="o-1", user="ann", ts=NOW + 10**9)
    (out,), dead = forward([Record(4, b"ann", encode(order)), Record(5, b"ann", None)], NOW)
    assert (out.topic, out.key, dead) == (EVENTS.name, b"ann", [])
    assert decode(Event, out.value) == erase()


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"bob", encode(ErasureOrder(id="o", user="ann", ts=NOW)), Refusal.KEY_MISMATCH),
        (b"ann", b"{", Refusal.MALFORMED),
        (None, b"", Refusal.EMPTY),
    ],
)
def test_invalid_order_is_a_dead_letter(key: bytes | None, value: bytes, code: Refusal) -> None:
    outputs, (letter,) = forward([Record(4, key, value)], NOW)
    assert (outputs, letter.code, letter.topic, letter.value) == ([], code, PRIVACY.name, value)
