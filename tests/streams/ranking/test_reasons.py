"""Every reason on a list is true of the raw events, and none counts the user's own events."""

import re
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.actions import sentiment
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.recommendations import Entry, Source
from streams.candidates.trending import LATELY
from streams.items.catalogue import Catalogue
from streams.wording.language import languages
from tests.support.ranking_world import NOW, PLAIN, World, done

DAY_MS = 86_400_000
SCENES = ("home", "cart")
CATALOGUE = [
    Item(id="a", title="Alpha storm", attributes=("noir", "film")),
    Item(id="b", title="Beta storm", attributes=("noir",)),
    Item(id="c", title="Gamma", attributes=("film",), published=NOW - DAY_MS),
    Item(id="d", title="Delta", published=NOW - 9_000 * DAY_MS),
    Item(id="e", title="Epsilon calm"),
    Item(id="f", title="Zeta calm"),
]
TITLES = {one.title: one for one in CATALOGUE}
KINDS = (EventKind.LIKE, EventKind.VIEW, EventKind.CLICK, EventKind.DISLIKE, EventKind.PURCHASE)


def events(users: list[str]) -> st.SearchStrategy[list[Event]]:
    one = st.tuples(
        st.sampled_from(users),
        st.sampled_from([item.id for item in CATALOGUE]),
        st.sampled_from(KINDS),
        st.sampled_from(SCENES),
        st.integers(0, 400),
    )
    return st.lists(one, max_size=14).map(
        lambda drawn: [
            replaced(done(user, item, kind, at=place, scene=scene), NOW - days * DAY_MS + place)
            for place, (user, item, kind, scene, days) in enumerate(sorted(drawn, key=lambda one: -one[4]))
        ]
    )


def replaced(event: Event, ts: int) -> Event:
    return Event(id=event.id, user=event.user, kind=event.kind, ts=ts, item=event.item, scene=event.scene)


def entries(world: World, user: str, scene: str) -> tuple[Entry, ...]:
    return world.listed(user, scene, settings=replace(PLAIN, length=30), now_ms=NOW + 1_000)


def liked(event: Event) -> bool:
    return sentiment(event.kind, event.value) > 0


def words(item: Item) -> set[str]:
    return {*re.findall(r"\w+", f"{item.title} {item.text}".casefold()), *item.attributes}


def together(past: list[Event], item: str, other: str, *, by: str, likes: bool) -> bool:
    """Whether a user other than `by` met (or liked) both in one scene."""
    had: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in past:
        if event.user != by and event.item is not None and (liked(event) or not likes):
            had[event.user, event.scene].add(event.item)
    return any({item, other} <= items for items in had.values())


def true(entry: Entry, past: list[Event], user: str, scene: str) -> bool:  # noqa: PLR0911 - one kind of reason a line
    """Whether the reason is true of the raw events and the catalogue."""
    text, code = entry.reason.text, entry.reason.code
    own = {event.item for event in past if event.user == user}
    own_likes = {event.item for event in past if event.user == user and liked(event)}
    because = entry.reason.because
    item = next(one for one in CATALOGUE if one.id == entry.item)
    others = [event for event in past if event.user != user and event.item == entry.item and liked(event)]
    if named := re.fullmatch(r"because you liked (.+)", text):
        likes = [TITLES[title].id for title in named[1].split(" and ")]
        pairs = (together(past, entry.item, like, by=user, likes=True) for like in likes)
        return code == Source.COVISITED and tuple(likes) == because and set(likes) <= own_likes and all(pairs)
    if named := re.fullmatch(r"met together with (.+)", text):
        met = [TITLES[title].id for title in named[1].split(" and ")]
        pairs = (together(past, entry.item, other, by=user, likes=False) for other in met)
        return code == Source.COVISITED and tuple(met) == because and set(met) <= own and all(pairs)
    if text == f"liked lately in {scene}":
        ages = [(NOW + 1_000 - event.ts) / (14 * DAY_MS) for event in others if event.scene == scene]
        return sum(0.5**age for age in ages) > LATELY - 0.001
    if text == "liked before, here or elsewhere":
        return bool(others)
    if text == "among the newest in the catalogue":
        return item.published is not None
    if named := re.fullmatch(r"described like (.+), which you liked", text):
        like = TITLES[named[1]]
        return because == (like.id,) and like.id in own_likes and bool(words(item) & words(like))
    if named := re.fullmatch(r"(.+), like (.+)", text):
        like, shared = TITLES[named[2]], set(named[1].split(" and "))
        return because == (like.id,) and like.id in own_likes and shared <= {*item.attributes} & {*like.attributes}
    return text == "shown to learn whether it suits you" and code == Source.EXPLORED


@given(past=events(["ann", "bob", "cem"]), scene=st.sampled_from(SCENES))
@settings(max_examples=200)
def test_every_reason_is_true_of_the_raw_events(past: list[Event], scene: str) -> None:
    world = World(CATALOGUE)
    world.tell(*past)
    for user in ("ann", "bob", "newcomer"):
        for entry in entries(world, user, scene):
            assert true(entry, past, user, scene), f"{entry.item} for {user}: {entry.reason.text}"


@given(past=events(["ann"]), scene=st.sampled_from(SCENES))
def test_lone_user_gets_no_reason_about_others(past: list[Event], scene: str) -> None:
    world = World(CATALOGUE)
    world.tell(*past)
    for entry in entries(world, "ann", scene):
        assert entry.reason.code not in (Source.COVISITED, Source.TRENDING)


def test_two_items_and_one_event_give_no_reason_that_needs_others() -> None:
    world = World([Item(id="heat", title="Heat"), Item(id="ronin", title="Ronin")])
    world.tell(done("ann", "heat"))
    [entry] = entries(world, "ann", "home")
    assert (entry.item, entry.reason.code) == ("ronin", Source.EXPLORED)
    assert entry.reason.text == "shown to learn whether it suits you"


def test_item_with_text_similar_to_a_like_says_so() -> None:
    world = World([Item(id="x", title="Storm one"), Item(id="y", title="Storm two"), Item(id="z", title="Calm")])
    world.tell(done("ann", "x"))
    found = {entry.item: entry.reason for entry in entries(world, "ann", "home")}
    assert found["y"].text == "described like Storm one, which you liked"
    assert found["y"].because == ("x",)


@pytest.mark.parametrize(
    ("kind", "says"), [(EventKind.LIKE, "you liked it before"), (EventKind.VIEW, "you met it before")]
)
def test_item_shown_again_has_no_reason_from_counts(
    monkeypatch: pytest.MonkeyPatch, kind: EventKind, says: str
) -> None:
    monkeypatch.setattr(Catalogue, "allowed", lambda self, *_args, **_more: self._live[: len(self.index)].copy())
    world = World(CATALOGUE)
    world.tell(done("ann", "a", kind, at=1), done("ann", "b", kind, at=2))
    found = {entry.item: entry.reason for entry in entries(world, "ann", "home")}
    assert found["a"].text == says
    assert found["a"].because == ("a",)


@pytest.mark.parametrize("name", languages())
def test_reasons_are_in_the_language_of_the_lists(name: str) -> None:
    language = languages()[name]
    world = World(CATALOGUE)
    world.tell(*(done(user, item, at=at) for user in ("u", "v", "w") for at, item in enumerate("abc")))
    world.tell(done("x", "a", at=9))
    reasons = {entry.item: entry.reason for entry in world.listed("x", settings=replace(PLAIN, language=language))}
    assert reasons["b"].text == language.say("reason", "liked_with", titles="Alpha storm")
    assert reasons["b"].because == ("a",)
