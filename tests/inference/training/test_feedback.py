"""Feedback as training takes it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import BadSource
from deploy.files.sources import ItemColumns
from deploy.learning.adapter import from_feedback
from inference.training.feedback import CLIP, erased, events, weight
from schemas.actions import reward
from schemas.events import EventKind
from schemas.feedback import Closed, Feedback, Outcome
from schemas.privacy import ErasureReceipt


def line(name: str | None, *, whole: bool = False, **chosen: object) -> bytes:
    given = {
        "id": f"l:{name}", "list": "l", "user": "ann", "scene": "home", "ts": 1_000, "outcome": Outcome.TAKEN,
        "reward": 1.0, "item": "heat", "position": 0, "propensity": 0.5, "event": name, "kind": EventKind.LIKE,
        "delay_ms": 10.0, **chosen,
    }  # fmt: skip
    told = Feedback(**given)  # type: ignore[arg-type]
    return msgspec.json.encode(told if whole else {"partition": 0, "offset": 3, "value": told})


NOT_TAKEN = line(None, outcome=Outcome.NOT_TAKEN, reward=0.0, item=None, kind=None, closed=Closed.WINDOW)


def test_what_people_did_before_they_were_erased_is_left_out() -> None:
    made = ErasureReceipt(order="o", user="ann", ts=1_000, cleared=())
    receipts = [msgspec.json.encode({"value": made}), b"", b"no receipt", msgspec.json.encode(made)]
    since = erased(receipts)
    assert since == {"ann": 1_000}
    told = events([line("a"), line("b", ts=1_001), line("c", user="bob"), NOT_TAKEN], since)
    assert [event.id for event in told.events] == ["b", "c"]
    assert told.erased == 2
    assert str(told) == "2 events, 0 lists not taken from, 0 lines not understood, 2 of erased people"


def test_what_was_taken_and_rejected_becomes_events() -> None:
    told = events(
        [
            line("a"),
            line("b", whole=True, item="alien", propensity=0.01),
            line("c", outcome=Outcome.REJECTED, kind=EventKind.DISLIKE, reward=-1.0, propensity=None),
            NOT_TAKEN,
            line("a", item="other"),
            b"{}",
            b"not json \xff",
            b"\n",
        ]
    )
    assert [(one.id, one.item, one.kind, one.scene, one.ts) for one in told.events] == [
        ("a", "heat", EventKind.LIKE, "home", 1_000),
        ("b", "alien", EventKind.LIKE, "home", 1_000),
        ("c", "heat", EventKind.DISLIKE, "home", 1_000),
    ]
    assert told.weights == {"a": 2.0, "b": CLIP, "c": 1.0}
    assert (told.refused, told.idle) == (2, 1)


@given(st.floats(0, 1))
def test_weights_are_bounded_and_fall(propensity: float) -> None:
    assert 1.0 <= weight(propensity) <= CLIP
    assert weight(propensity) >= weight(min(1.0, propensity + 0.1))


def test_a_rating_is_what_it_was() -> None:
    for value in (1.0, 2.5, 4.0, 5.0):
        event = events([line("a", kind=EventKind.RATE, reward=max(-1.0, (value - 3) / 2))]).events[0]
        assert event.value == value
        assert reward(event.kind, event.value) == max(-1.0, (value - 3) / 2)


def test_feedback_needs_items_that_it_is_about(tmp_path) -> None:  # type: ignore[no-untyped-def]
    feedback, items = tmp_path / "feedback.jsonl", tmp_path / "items.csv"
    feedback.write_bytes(b"\n".join([line("a"), line("b", item="gone"), NOT_TAKEN]))
    items.write_text("item_id,title\nheat,Heat (1995)\n")
    dataset, weights = from_feedback(feedback, items, ItemColumns())
    assert [event.id for event in dataset.events] == ["a"]
    assert weights["a"] == 2.0
    assert "1 on items that are not in the catalogue" in dataset.note
    items.write_text("item_id,title\nother,Other\n")
    with pytest.raises(BadSource, match="ouzel read feedback"):
        from_feedback(feedback, items, ItemColumns())
