"""Feedback as training takes it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.errors import BadSource
from deploy.files.sources import ItemColumns
from deploy.learning.adapter import from_feedback
from inference.training.feedback import CLIP, Untaken, erased, read, weight
from schemas.actions import reward, strength
from schemas.events import EventKind
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.privacy import ErasureReceipt


def line(name: str | None, *, whole: bool = False, **chosen: Any) -> bytes:
    given: dict[str, Any] = {
        "id": f"l:{name}", "list": "l", "user": "ann", "scene": "home", "ts": 1_000, "outcome": Outcome.TAKEN,
        "reward": 1.0, "item": "heat", "position": 0, "propensity": 0.5, "event": name, "kind": EventKind.LIKE,
        "delay_ms": 10.0, **chosen,
    }  # fmt: skip
    told = Feedback(**given)
    return msgspec.json.encode(told if whole else {"partition": 0, "offset": 3, "value": told})


SHOWN = (Shown(item="heat", propensity=1.0), Shown(item="alien", propensity=0.5), Shown(item="fargo", propensity=0.01))


def not_taken(name: str = "m", shown: tuple[Shown, ...] = SHOWN, **chosen: Any) -> bytes:
    given: dict[str, Any] = {
        "id": f"{name}:closed", "list": name, "outcome": Outcome.NOT_TAKEN, "reward": 0.0, "item": None, "kind": None,
        "position": None, "propensity": None, "delay_ms": 500.0, "closed": Closed.WINDOW, "shown": shown,
    }  # fmt: skip
    return line(None, **{**given, **chosen})


NOT_TAKEN = not_taken(shown=())


def test_feedback_from_before_an_erasure_is_left_out() -> None:
    made = ErasureReceipt(order="o", user="ann", ts=1_000, cleared=())
    receipts = [msgspec.json.encode({"value": made}), b"", b"no receipt", msgspec.json.encode(made)]
    since = erased(receipts)
    assert since == {"ann": 1_000}
    told = read([line("a"), line("b", ts=1_001), line("c", user="bob"), not_taken()], since)
    assert [event.id for event in told.events] == ["b", "c"]
    assert (told.erased, told.untaken) == (2, [])
    assert str(told) == "2 events, 0 lists not taken, 0 lists taken in part, 0 lines refused, 2 of erased users"


def test_entries_shown_and_not_taken_are_told_with_their_weights() -> None:
    taken = [line("a", list="other", shown=SHOWN, ts=1_500), line("b", list="other", item="fargo", ts=2_000)]
    told = read([not_taken(), not_taken(), *taken])
    assert told.untaken == [
        Untaken("ann", "home", 500, 1_000, ("heat", "alien", "fargo"), (1.0, 2.0, CLIP)),
        Untaken("ann", "home", 1_490, 2_000, ("alien",), (2.0,)),
    ]
    assert str(told) == "2 events, 1 lists not taken, 1 lists taken in part, 0 lines refused, 0 of erased users"


def test_reactions_become_events() -> None:
    told = read(
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
    assert (told.refused, told.idle, told.untaken) == (2, 0, [])


@given(st.floats(0, 1))
def test_weights_are_bounded_and_fall(propensity: float) -> None:
    assert 1.0 <= weight(propensity) <= CLIP
    assert weight(propensity) >= weight(min(1.0, propensity + 0.1))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 2.5, 4.0, 5.0])
def test_rating_is_what_the_user_gave(value: float) -> None:
    given = reward(EventKind.RATE, value)
    (event,) = read([line("a", kind=EventKind.RATE, reward=given, value=value)]).events
    assert event.value == value
    (old,) = read([line("a", kind=EventKind.RATE, reward=given)]).events
    assert old.value == max(1.0, value), "written before feedback carried the rating"
    assert strength(old.kind, old.value) == strength(EventKind.RATE, value)


def test_feedback_needs_items_of_the_catalogue(tmp_path) -> None:
    feedback, items = tmp_path / "feedback.jsonl", tmp_path / "items.csv"
    feedback.write_bytes(b"\n".join([line("a"), line("b", item="gone"), not_taken()]))
    items.write_text("item_id,title\nheat,Heat (1995)\n")
    found = from_feedback(feedback, items, ItemColumns())
    assert [event.id for event in found.dataset.events] == ["a"]
    assert found.weights["a"] == 2.0
    assert [each.items for each in found.untaken] == [("heat", "alien", "fargo")]
    assert "2 events, 1 lists not taken" in found.dataset.note
    assert "1 on items that are not in the catalogue" in found.dataset.note
    items.write_text("item_id,title\nother,Other\n")
    with pytest.raises(BadSource, match="ouzel read feedback"):
        from_feedback(feedback, items, ItemColumns())
