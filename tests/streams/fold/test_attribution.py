"""Lists are joined with the reactions that belong to them, and each list is closed once."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback, Outcome
from schemas.recommendations import Entry, Reason, Recommendation, Source
from streams.fold import attribution
from streams.fold.attribution import MAX_OPEN, NONE, Exposure, attribute, close, expose

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


def test_a_reaction_counts_for_the_newest_list_that_shows_the_item() -> None:
    exposure = open_lists(shown("old", 0), shown("new", 100), shown("other", 200, "xyz"))
    exposure, (feedback,) = attribute(exposure, did("b", 350), WINDOW)
    assert (feedback.list, feedback.outcome, feedback.position) == ("new", Outcome.TAKEN, 1)
    assert (feedback.delay_ms, feedback.propensity, feedback.model_version) == (250.0, 0.5, "m1")
    assert feedback.reward == 0.5
    assert [x.taken for x in exposure.lists] == [False, True, False]


def test_a_reaction_that_names_its_list_counts_for_that_one_only() -> None:
    exposure = open_lists(shown("old", 0), shown("new", 100))
    _, (feedback,) = attribute(exposure, did("a", 350, list="old"), WINDOW)
    assert feedback.list == "old"
    assert attribute(exposure, did("a", 350, list="unknown"), WINDOW)[1] == ()


def test_reactions_before_the_list_or_after_the_window_are_nobodys() -> None:
    exposure = open_lists(shown("one", 100))
    assert attribute(exposure, did("a", 99), WINDOW) == (exposure, ())
    assert attribute(exposure, did("a", 101 + WINDOW), WINDOW) == (exposure, ())
    assert attribute(exposure, did("z", 150), WINDOW) == (exposure, ())


def test_a_dislike_rejects_and_a_rating_is_worth_its_distance_from_three() -> None:
    exposure = open_lists(shown("one", 0))
    _, (feedback,) = attribute(exposure, did("a", 1, EventKind.DISMISS), WINDOW)
    assert (feedback.outcome, feedback.reward) == (Outcome.REJECTED, -0.5)
    for value, worth in ((5.0, 1.0), (3.0, 0.0), (1.0, -1.0), (0.0, -1.0)):
        _, (feedback,) = attribute(exposure, did("a", 1, EventKind.RATE, value=value), WINDOW)
        assert feedback.reward == worth


def test_a_list_nobody_took_from_is_reported_when_its_window_closes() -> None:
    exposure = open_lists(shown("one", 0), shown("two", 500))
    exposure, _ = attribute(exposure, did("a", 600), WINDOW)
    exposure, reports = close(exposure, "u", 1_001, WINDOW)
    assert [(f.list, f.outcome, f.closed) for f in reports] == [("one", Outcome.NOT_TAKEN, Closed.WINDOW)]
    assert [x.item for x in reports[0].shown] == ["a", "b", "c"]
    assert close(exposure, "u", 1_501, WINDOW) == (NONE, ())  # the second one was taken from


def test_the_same_list_again_changes_nothing() -> None:
    exposure = open_lists(shown("one", 0))
    assert expose(exposure, shown("one", 0)) == (exposure, ())


@given(st.lists(st.tuples(st.sampled_from(["list", "event", "close"]), st.sampled_from("abcxyz")), max_size=60))
@settings(max_examples=80, deadline=None)
def test_every_list_is_taken_or_closed_at_most_once_and_open_lists_are_bounded(steps: list[tuple[str, str]]) -> None:
    exposure, reports, published = NONE, list[Feedback](), set()
    for number, (what, item) in enumerate(steps):
        now = number * 150
        if what == "list":
            exposure, out = expose(exposure, shown(f"l{number}", now, item))
            published.add(f"l{number}")
        elif what == "event":
            exposure, out = attribute(exposure, did(item, now), WINDOW)
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
    assert len({f.id for f in reports}) == len(reports)


def test_the_largest_exposure_fits_its_stated_bound() -> None:
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
