"""Lists are joined with the reactions that belong to them, and each list is closed once."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.actions import ITEM_KINDS, sentiment
from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback, Outcome
from schemas.recommendations import Entry, Reason, Recommendation, Source
from streams.fold import attribution
from streams.fold.attribution import MAX_OPEN, NONE, Exposure, Judged, attribute, chance_of, close, expose

WINDOW = 1_000


def shown(name: str, ts: int, items: str = "abc") -> Recommendation:
    return Recommendation(
        id=name,
        user="u",
        scene="home",
        ts=ts,
        trigger="t",
        partition=0,
        offset=0,
        model_version="m1",
        freshness_ms=1.0,
        took_ms=1.0,
        entries=tuple(
            Entry(
                item=item,
                score=1.0,
                behavioural=1.0,
                propensity=0.5,
                sources=(Source.FRESH,),
                reason=Reason(code=Source.FRESH, text="new"),
            )
            for item in items
        ),
    )


def did(item: str, ts: int, kind: EventKind = EventKind.CLICK, **fields: object) -> Event:
    return Event(id=f"{item}{ts}", user="u", kind=kind, ts=ts, item=item, **fields)  # type: ignore[arg-type]


def open_lists(*lists: Recommendation) -> Exposure:
    exposure = NONE
    for one in lists:
        exposure, _ = expose(exposure, one)
    return exposure


def test_reaction_joins_the_newest_list_that_shows_the_item() -> None:
    exposure = open_lists(shown("old", 0), shown("new", 100), shown("other", 200, "xyz"))
    exposure, feedback, judged = attribute(exposure, did("b", 350), WINDOW)
    assert feedback is not None
    assert (feedback.list, feedback.outcome, feedback.position) == ("new", Outcome.TAKEN, 1)
    assert (feedback.delay_ms, feedback.propensity, feedback.model_version) == (250.0, 0.5, "m1")
    assert feedback.reward == 0.5
    assert [x.taken for x in exposure.lists] == [False, True, False]
    assert judged == Judged("new", "b", 1, ("other", "new", "old"))


def test_reaction_that_names_its_list_joins_that_one_only() -> None:
    exposure = open_lists(shown("old", 0), shown("new", 100))
    _, feedback, judged = attribute(exposure, did("a", 350, list="old"), WINDOW)
    assert feedback is not None
    assert feedback.list == "old"
    assert judged == Judged("old", "a", 0, ("old",))
    assert attribute(exposure, did("a", 350, list="unknown"), WINDOW) == (exposure, None, None)
    assert attribute(exposure, did("z", 350, list="old"), WINDOW)[2] == Judged("old", "z", None, ("old",))


def test_event_before_the_list_or_after_the_window_is_not_joined() -> None:
    exposure = open_lists(shown("one", 100))
    assert attribute(exposure, did("a", 99), WINDOW) == (exposure, None, None)
    assert attribute(exposure, did("a", 101 + WINDOW), WINDOW) == (exposure, None, None)
    assert attribute(NONE, did("a", 150), WINDOW) == (NONE, None, None)


def test_like_of_an_item_on_no_open_list_is_a_miss_of_the_newest() -> None:
    exposure = open_lists(shown("past", 0), shown("old", 900), shown("new", 1_000))
    after, feedback, judged = attribute(exposure, did("z", 1_500), WINDOW)
    assert (after, feedback) == (exposure, None)
    assert judged == Judged("new", "z", None, ("new", "old"))


def test_judgements_come_from_likes_alone() -> None:
    exposure = open_lists(shown("one", 0))
    for kind in EventKind:
        for value in (1.0, 3.0, 5.0):
            event = did("a", 1, kind, value=value, text="fewer", target="e0")
            judged = attribute(exposure, event, WINDOW)[2]
            assert (judged is not None) == (sentiment(kind, value) > 0), (kind, value)


def test_event_without_an_item_is_no_reaction() -> None:
    exposure = open_lists(shown("one", 0))
    for kind in set(EventKind) - set(ITEM_KINDS):
        assert attribute(exposure, did("a", 1, kind, text="fewer", target="e0"), WINDOW) == (exposure, None, None)


def test_dislike_rejects_and_rating_is_carried_with_its_reward() -> None:
    exposure = open_lists(shown("one", 0))
    feedback = attribute(exposure, did("a", 1, EventKind.DISMISS, value=4.0), WINDOW)[1]
    assert feedback is not None
    assert (feedback.outcome, feedback.reward, feedback.value) == (Outcome.REJECTED, -0.5, None)
    for value, worth in ((5.0, 1.0), (3.0, 0.0), (1.0, -1.0), (0.5, -1.0), (0.0, -1.0)):
        feedback = attribute(exposure, did("a", 1, EventKind.RATE, value=value), WINDOW)[1]
        assert feedback is not None
        assert (feedback.reward, feedback.value) == (worth, value)


def test_first_reaction_carries_the_list_also_when_it_is_read_again() -> None:
    exposure = open_lists(shown("one", 0))
    after, first, _ = attribute(exposure, did("a", 1), WINDOW)
    later, second, _ = attribute(after, did("b", 2), WINDOW)
    assert first is not None
    assert second is not None
    assert [x.item for x in first.shown] == ["a", "b", "c"]
    assert {x.propensity for x in first.shown} == {0.5}
    assert second.shown == ()
    assert attribute(later, did("a", 1), WINDOW)[1] == first
    assert attribute(later, did("b", 2), WINDOW)[1] == second


def test_feedback_carries_the_context_of_its_list() -> None:
    exposure = open_lists(msgspec.structs.replace(shown("one", 0), context="0123456789abcdef"), shown("two", 1, "xyz"))
    _, reaction, _ = attribute(exposure, did("a", 2), WINDOW)
    _, (first, second) = close(exposure, "u", 5_000, WINDOW)
    assert reaction is not None
    assert (reaction.context, first.context, second.context) == ("0123456789abcdef", "0123456789abcdef", None)


def test_state_written_before_first_was_noted_is_read() -> None:
    old = msgspec.msgpack.encode([[["one", 0, "home", "m1", ["a", "b"], [0.5, 0.5], True]]])
    exposure = msgspec.msgpack.decode(old, type=Exposure)
    (shown_,) = exposure.lists
    assert (shown_.taken, shown_.first) == (True, 0)
    feedback = attribute(exposure, did("a", 1), WINDOW)[1]
    assert feedback is not None
    assert feedback.shown == ()


def test_list_that_is_not_taken_is_reported_when_its_window_closes() -> None:
    exposure = open_lists(shown("one", 0), shown("two", 500))
    exposure = attribute(exposure, did("a", 600), WINDOW)[0]
    exposure, reports = close(exposure, "u", 1_001, WINDOW)
    assert [(f.list, f.outcome, f.closed) for f in reports] == [("one", Outcome.NOT_TAKEN, Closed.WINDOW)]
    assert [x.item for x in reports[0].shown] == ["a", "b", "c"]
    assert reports[0].delay_ms == 1_001.0
    assert close(exposure, "u", 1_501, WINDOW) == (NONE, ())  # the second one was taken from


def test_same_list_again_changes_nothing() -> None:
    exposure = open_lists(shown("one", 0))
    assert expose(exposure, shown("one", 0)) == (exposure, ())


@given(st.lists(st.tuples(st.sampled_from(["list", "event", "close"]), st.sampled_from("abcxyz")), max_size=60))
@settings(max_examples=80, deadline=None)
def test_lists_are_taken_or_closed_at_most_once_and_bounded(steps: list[tuple[str, str]]) -> None:
    exposure, reports, published = NONE, list[Feedback](), set()
    for number, (what, item) in enumerate(steps):
        now = number * 150
        if what == "list":
            exposure, out = expose(exposure, shown(f"l{number}", now, item))
            published.add(f"l{number}")
        elif what == "event":
            exposure, reaction, _ = attribute(exposure, did(item, now), WINDOW)
            out = () if reaction is None else (reaction,)
        else:
            exposure, out = close(exposure, "u", now, WINDOW)
        reports += out
        assert len(exposure.lists) <= MAX_OPEN
    _, out = close(exposure, "u", 10**9, WINDOW)
    reports += out
    closed = [f.list for f in reports if f.outcome is Outcome.NOT_TAKEN]
    taken = {f.list for f in reports if f.outcome is Outcome.TAKEN}
    assert len(closed) == len(set(closed))
    assert set(closed) | taken == published
    assert not set(closed) & taken
    assert sorted(f.list for f in reports if f.shown) == sorted(published), "each list is on the topic once"
    assert len({f.id for f in reports}) == len(reports)


def test_largest_exposure_fits_its_stated_bound() -> None:
    wide = "\N{GRINNING FACE}" * 124
    exposure = NONE
    for number in range(MAX_OPEN + 1):
        one = shown(f"{number:04}{wide}", number)
        entries = tuple(
            msgspec.structs.replace(one.entries[0], item=f"{place:04}{wide}") for place in range(attribution.MAX_SHOWN)
        )
        one = msgspec.structs.replace(one, entries=entries, scene=wide[:32], model_version=wide)
        exposure, _ = expose(exposure, one)
    size = len(msgspec.msgpack.encode(exposure))
    assert attribution.MAX_EXPOSURE_BYTES * 0.8 < size <= attribution.MAX_EXPOSURE_BYTES


def test_first_feedback_of_a_list_says_what_the_model_expected_of_it() -> None:
    made = shown("one", 0)
    entries = tuple(
        msgspec.structs.replace(entry, model=logit)
        for entry, logit in zip(made.entries, (0.0, -1.0986123, None), strict=True)
    )
    exposure, _ = expose(NONE, msgspec.structs.replace(made, entries=entries), 7)
    closed, (gone,) = close(exposure, "u", WINDOW + 1, WINDOW)
    assert closed == NONE
    assert gone.chance == pytest.approx(0.75)
    assert gone.history == 7
    exposure, first, _ = attribute(exposure, did("a", 10), WINDOW)
    _, second, _ = attribute(exposure, did("b", 20), WINDOW)
    assert first is not None
    assert second is not None
    assert (first.chance, first.history) == (gone.chance, 7)
    assert (second.chance, second.history) == (None, None)


@pytest.mark.parametrize(
    ("logits", "chance"),
    [((None, None), -1.0), ((2.0, 2.0), 1.0), ((-1e30, None), 0.0), ((1e30, -1e30), 1.0), ((), -1.0)],
)
def test_chance_of_a_list_is_a_probability_or_unknown(logits: tuple[float | None, ...], chance: float) -> None:
    entry = shown("one", 0).entries[0]
    found = chance_of([msgspec.structs.replace(entry, model=logit) for logit in logits])
    assert found == pytest.approx(chance, abs=1e-12)


def test_list_without_a_model_has_no_chance() -> None:
    _, (gone,) = close(open_lists(shown("one", 0)), "u", WINDOW + 1, WINDOW)
    assert (gone.chance, gone.history) == (None, None)
