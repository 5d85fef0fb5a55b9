"""The table of actions: a line for every kind, and what follows from it."""

import pytest

from schemas.actions import ACTIONS, ITEM_KINDS, Effect, reward, sentiment, strength
from schemas.codec import decode_event, encode
from schemas.events import Event, EventKind
from schemas.seen import KINDS
from streams.fold.context import EMPTY, fold
from streams.fold.covisits import covisits
from streams.fold.seen_marks import CODES

NOW = 1_700_000_000_000
GIVEN = {"item": "alien", "value": 4.0, "text": "fewer horror films", "target": "e0"}


def event(kind: EventKind, **more: object) -> Event:
    return Event(id="e1", user="ann", kind=kind, ts=NOW, **more)  # type: ignore[arg-type]


def test_every_kind_of_event_has_one_line() -> None:
    assert list(ACTIONS) == list(EventKind)


@pytest.mark.parametrize("kind", EventKind)
def test_strength_and_reward_are_within_their_bounds_and_agree(kind: EventKind) -> None:
    for value in (None, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0):
        assert -2 <= strength(kind, value) <= 2
        assert -1.0 <= reward(kind, value) <= 1.0
        assert sentiment(kind, value) == (strength(kind, value) > 0) - (strength(kind, value) < 0)
        if value is not None or kind is not EventKind.RATE:
            assert sentiment(kind, value) * reward(kind, value) >= 0


@pytest.mark.parametrize("kind", EventKind)
def test_event_with_the_fields_of_its_kind_is_accepted_and_has_its_effect(kind: EventKind) -> None:
    action = ACTIONS[kind]
    sent = event(kind, **{name: GIVEN[name] for name in action.needs})
    assert decode_event(encode(sent), key=b"ann", now_ms=NOW) == sent
    after = fold(EMPTY, sent, 0)
    assert bool(after.scenes) == bool(after.seen) == (action.effect is Effect.INTERACTION)
    assert bool(after.steers) == (action.effect is Effect.WISH)


@pytest.mark.parametrize("kind", EventKind)
def test_pairs_are_counted_for_events_about_an_item_only(kind: EventKind) -> None:
    told = covisits(EMPTY, event(kind, **GIVEN), 0, 0)
    assert [(item, update.liked) for item, update in told] == (
        [("alien", strength(kind, 4.0) > 0)] if kind in ITEM_KINDS else []
    )


def test_codes_of_kinds_stay_as_they_stand_on_disk() -> None:
    assert KINDS == ITEM_KINDS
    assert {kind.value: code for kind, code in CODES.items()} == {
        "view": 1, "click": 2, "like": 3, "dislike": 4, "cart": 5, "purchase": 6, "rate": 7, "dismiss": 8,
    }  # fmt: skip
