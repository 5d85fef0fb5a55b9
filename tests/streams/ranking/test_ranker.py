"""The path of one list: the model's request and effect, exploration, reasons, and the data kept for learning."""

import math
import random
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.evaluation.baselines import ItemKnn
from schemas.events import Event, EventKind
from schemas.recommendations import Entry, Source
from schemas.scoring import ScoreRequest, Scores
from schemas.seen import SeenRule, SeenRules
from streams.fold.context import SceneContext, fold
from streams.ranking.blend import TRUSTED, Blend, learn
from streams.ranking.comparison import item_knn, popular
from streams.ranking.drawing import Noise
from streams.ranking.exploration import NO_EXPLORATION, Exploration, Explorations
from streams.ranking.modifiers import MODIFIERS
from streams.ranking.question import history
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Shortlist
from streams.steering.wish import Wish
from tests.support.ranking_world import NOW, PLAIN, World, done, item

SETTINGS = Ranking(length=5, rescored=4, diversity=0.0, exploration=NO_EXPLORATION, explored=3)


@pytest.fixture
def world() -> World:
    made = World([item(f"f{n:02}", f"Film {n}", ["drama" if n % 2 else "crime"]) for n in range(30)])
    for n in range(12):
        made.tell(*(done(f"p{n}", f"f{(n + k) % 30:02}", at=100 * n + k) for k in range(8)))
    made.tell(done("ann", "f03", at=5000), done("ann", "f04", at=5001))
    return made


def listed(
    world: World,
    chosen: Shortlist,
    scores: Scores | None = None,
    *,
    blend: Blend | None = None,
    seed: int = 1,
    **settings: Any,
) -> tuple[Entry, ...]:
    made = chosen if scores is None else heard(world, chosen, scores, blend)
    return world.ranker(replace(SETTINGS, **settings)).assemble(made, blend or Blend(), Noise(str(seed)))


def heard(world: World, chosen: Shortlist, scores: Scores, blend: Blend | None = None) -> Shortlist:
    return world.ranker(SETTINGS).rescore(chosen, scores, blend or Blend())


def request(world: World, chosen: Shortlist) -> ScoreRequest:
    return world.ranker(SETTINGS).question(chosen, session=7)


def test_list_is_the_best_of_the_shortlist_in_order_with_complete_entries(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    entries = listed(world, chosen)
    assert [entry.item for entry in entries] == world.ids(chosen)[:5]
    assert [entry.score for entry in entries] == sorted((entry.score for entry in entries), reverse=True)
    assert all(entry.propensity == 1.0 and entry.model is None and entry.sources for entry in entries)
    assert not {"f03", "f04"} & {entry.item for entry in entries}


def test_question_describes_the_best_candidates_without_the_user(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    asked = request(world, chosen)
    best = world.ids(chosen)[:4]
    assert [one.text for one in asked.candidates] == [
        world.catalogue.text(world.catalogue.index.number(i)) for i in best
    ]
    assert [(one.text, one.item, one.about, one.feeling) for one in asked.history] == [
        ("Film 3", "f03", "drama", 2),
        ("Film 4", "f04", "crime", 2),
    ]
    assert [one.about for one in asked.candidates] == [
        world.catalogue.about(world.catalogue.index.number(i)) for i in best
    ]
    assert (asked.session, asked.scene, asked.steer) == (7, "home", ())
    assert "ann" not in msgspec.json.encode(asked).decode()


def test_question_includes_steering(world):
    chosen = world.shortlist("ann", settings=SETTINGS, wishes=(Wish("something funny", NOW),))
    assert request(world, chosen).steer == ("something funny",)


def test_model_has_no_effect_at_weight_0_and_reorders_scored_candidates_otherwise(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    scores = Scores(scores=(0.0, 1.0, 2.0, 90.0), model_version="m")
    without = listed(world, chosen)
    unmoved = listed(world, chosen, scores)
    assert [entry.item for entry in unmoved] == [entry.item for entry in without]
    assert [entry.model for entry in unmoved] == [0.0, 1.0, 2.0, 90.0, None]
    moved = listed(world, chosen, scores, blend=msgspec.structs.replace(Blend(), model_weight=4.0))
    assert moved[0].item == without[3].item
    assert moved[0].behavioural == without[3].behavioural
    assert {entry.item for entry in moved} <= set(world.ids(chosen))


def test_lists_of_slopes_of_0_are_those_of_the_linear_blend(world):
    columns = len(Blend().names)
    none = ((0.0,) * len(MODIFIERS),) * columns
    zero = msgspec.structs.replace(Blend(), modifiers=MODIFIERS, slopes=none, slope_squares=((1.0,) * 5,) * columns)
    zero = msgspec.structs.replace(zero, advantage=TRUSTED)
    for user in ("ann", "newcomer"):
        linear = listed(world, world.shortlist(user, settings=SETTINGS))
        found = listed(world, world.shortlist(user, settings=SETTINGS, blend=zero), blend=zero)
        assert [(entry.item, entry.reason) for entry in found] == [(entry.item, entry.reason) for entry in linear]
        assert [entry.score for entry in found] == pytest.approx([entry.score for entry in linear], abs=1e-5)


def test_slopes_reorder_lists_and_contributions_still_sum_to_the_score(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    rows = ((1.0, -1.0, 0.5, 1.0, -1.0),) * len(Blend().names)
    steep = msgspec.structs.replace(Blend(), modifiers=MODIFIERS, slopes=rows, slope_squares=rows)
    assert world.ranker(SETTINGS).reorder(chosen, steep).order.tolist() == chosen.order.tolist()  # not trusted yet
    steep = msgspec.structs.replace(steep, advantage=TRUSTED)
    moved = world.ranker(SETTINGS).reorder(chosen, steep)
    assert moved.order.tolist() != chosen.order.tolist()
    entries = listed(world, moved, blend=steep, diversity=0.0)
    assert [entry.item for entry in entries] == world.ids(moved)[:5]
    for entry in entries:
        assert sum((entry.contributions or {}).values()) == pytest.approx(entry.score, abs=1e-5)


def test_model_with_equal_scores_changes_nothing(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    flat = listed(
        world,
        chosen,
        Scores(scores=(3.0,) * 4, model_version="m"),
        blend=msgspec.structs.replace(Blend(), model_weight=4.0),
    )
    assert [(entry.item, entry.score) for entry in flat] == [(e.item, e.score) for e in listed(world, chosen)]


def exploring(**of: Any) -> Explorations:
    return Explorations(Exploration(**({"share": 0.0, "new_share": 0.0} | of)))


def test_lists_are_drawn_as_often_as_the_product_of_their_propensities_says(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    of: dict[str, Any] = {"length": 2, "explored": 2, "exploration": exploring(share=0.4, temperature=0.3)}
    draws = 4000
    found: dict[tuple[str, ...], list[tuple[Entry, ...]]] = {}
    for seed in range(draws):
        entries = listed(world, chosen, seed=seed, **of)
        assert [entry.score for entry in entries] == sorted((entry.score for entry in entries), reverse=True)
        found.setdefault(tuple(entry.item for entry in entries), []).append(entries)
    assert len(found) == 12, "each of four candidates, then each of the others"
    likely = {items: math.prod(entry.propensity for entry in same[0]) for items, same in found.items()}
    assert sum(likely.values()) == pytest.approx(1.0)
    for items, same in found.items():
        chance = likely[items]
        assert len(same) / draws == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / draws))
        assert len({tuple(entry.propensity for entry in entries) for entries in same}) == 1
    usual = tuple(world.ids(chosen)[:2])
    assert likely[usual] > 0.6
    for (first, second), same in found.items():
        left = [name for name in world.ids(chosen) if name != first]
        marked = [Source.EXPLORED in entry.sources for entry in same[0]]
        assert marked == [first != usual[0], second != left[0]]


def test_same_list_id_draws_the_same_list(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    of = exploring(share=1.0, temperature=2.0)
    lists = [listed(world, chosen, seed=seed, exploration=of) for seed in (1, 1, 2)]
    assert lists[0] == lists[1] != lists[2]


def test_last_place_is_certain_without_further_candidates(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    entries = listed(world, chosen, exploration=exploring(share=1.0), length=100)
    assert len(entries) == len(chosen.order)
    assert entries[-1].propensity == 1.0
    assert all(0.0 < entry.propensity <= 1.0 for entry in entries)


def test_scenes_explore_by_their_own_settings(world):
    of = Explorations(Exploration(share=0.0, new_share=0.0), {"cart": Exploration(share=1.0, temperature=5.0)})
    for scene, certain in (("home", True), ("cart", False)):
        chosen = world.shortlist("ann", scene, settings=SETTINGS)
        entries = listed(world, chosen, exploration=of)
        assert (max(entry.propensity for entry in entries) == 1.0) == certain


class TestNewItems:
    """Places for new items: `n0` is often met, `n1` and `n2` are not, `old` is not new."""

    NAMES = ("n0", "n1", "n2")

    @pytest.fixture
    def world(self) -> World:
        made = World([item(f"f{n:02}", f"Film {n}") for n in range(12)])
        for n, name in enumerate(self.NAMES):
            made.catalogue.add(item(name, published=NOW - 1_000 * n))
        made.catalogue.add(item("old", published=NOW - 400 * 86_400_000))
        for n in range(12):
            made.tell(*(done(f"p{n}", f"f{(n + k) % 12:02}", at=100 * n + k) for k in range(6)))
        made.tell(*(done(f"x{n}", "n0", at=3000 + n) for n in range(30)), done("ann", "f03", at=5000))
        return made

    def listed(self, world: World, seed: int = 1, **of: Any) -> tuple[Entry, ...]:
        settings = replace(SETTINGS, exploration=exploring(**of))
        return world.listed("ann", settings=settings, now_ms=NOW + 9999, seed=seed)

    def test_last_places_go_to_items_that_are_new_and_little_known_each_as_likely(self, world):
        first: dict[str, int] = {}
        for seed in range(1000):
            entries = self.listed(world, seed, new_share=1.0)
            assert {entry.item for entry in entries[3:]} == {"n1", "n2"}
            assert [entry.propensity for entry in entries] == pytest.approx([1.0, 1.0, 1.0, 0.5, 1.0])
            assert {(entry.reason.code, entry.reason.text) for entry in entries[3:]} == {
                (Source.NEW, "new: we would like to know")
            }
            assert all(Source.NEW in entry.sources for entry in entries[3:])
            assert all(entry.reason.code != Source.NEW for entry in entries[:3])
            first[entries[3].item] = first.get(entries[3].item, 0) + 1
        assert first["n1"] / 1000 == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 1000))

    def test_share_of_the_lists_has_them(self, world):
        kinds = [
            any(e.reason.code == Source.NEW for e in self.listed(world, seed, new_share=0.2)) for seed in range(2000)
        ]
        assert sum(kinds) / 2000 == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 2000))
        assert not any(entry.reason.code == Source.NEW for entry in self.listed(world, new_share=0.0))

    def test_fewer_new_items_than_places_take_fewer_places(self, world):
        world.catalogue.withdraw("n1")
        entries = self.listed(world, new_share=1.0)
        assert [entry.reason.code == Source.NEW for entry in entries] == [False] * 4 + [True]

    def test_new_item_that_the_user_met_has_no_such_place(self, world):
        settings = replace(SETTINGS, exploration=exploring(new_share=1.0), seen=SeenRules(SeenRule(days=0)), length=5)
        world.tell(done("ann", "n1", EventKind.VIEW, at=6000))
        entries = world.listed("ann", settings=settings, now_ms=NOW + 9999)
        assert [entry.item for entry in entries if entry.reason.code == Source.NEW] == ["n2"]

    def test_item_is_new_for_a_time(self, world):
        settings = replace(SETTINGS, exploration=exploring(new_share=1.0))
        later = world.listed("ann", settings=settings, now_ms=NOW + 15 * 86_400_000)
        assert not [entry for entry in later if entry.reason.code == Source.NEW]


def test_item_withdrawn_during_scoring_is_left_out(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    gone = world.ids(chosen)[1]
    world.catalogue.withdraw(gone)
    assert gone not in {entry.item for entry in listed(world, chosen)}
    assert len(listed(world, chosen)) == 5


def test_consecutive_requests_share_the_beginning_of_their_history():
    world = World([item(f"f{n:02}", f"Film {n}") for n in range(60)])
    settings = Ranking(history=20, history_step=8)
    begins, lengths = [], []
    for n in range(45):
        world.tell(done("ann", f"f{n:02}", (EventKind.LIKE, EventKind.VIEW, EventKind.DISLIKE)[n % 3], at=n))
        past = history(world.people["ann"], "home", catalogue=world.catalogue, settings=settings)
        assert (past[-1].text, past[-1].feeling, past[-1].ts) == (f"Film {n}", (2, 0, -2)[n % 3], NOW + n)
        begins.append(past[0].text)
        lengths.append(len(past))
    assert max(lengths) == 20
    assert min(lengths[20:]) == 13
    moves = [n for n in range(1, 45) if begins[n] != begins[n - 1]]
    assert moves == [20, 28, 36, 44]


def test_history_has_26_to_50_of_many_events():
    world = World([item(f"f{n:02}", f"Film {n}") for n in range(30)])
    for n in range(140):
        world.tell(done("ann", f"f{n % 30:02}", EventKind.VIEW, at=n))
        past = history(world.people["ann"], "home", catalogue=world.catalogue, settings=Ranking())
        assert past[-1].ts == NOW + n
        assert len(past) == (n + 1 if n < 50 else 26 + n % 25)


def test_forgotten_event_is_not_in_the_history_and_moves_its_beginning_by_at_most_one():
    world = World([item(f"f{n:02}", f"Film {n}") for n in range(60)])
    world.tell(*(done("ann", f"f{n:02}", at=n) for n in range(60)))
    before = history(world.people["ann"], "home", catalogue=world.catalogue, settings=Ranking())
    assert [one.item for one in before] == [f"f{n:02}" for n in range(25, 60)]
    gone = Event(id="x", user="ann", kind=EventKind.FORGET, ts=NOW + 99, target="ann-f40-like-40")
    world.people["ann"] = fold(world.people["ann"], gone, world.offset)
    after = history(world.people["ann"], "home", catalogue=world.catalogue, settings=Ranking())
    assert [one.item for one in after] == [f"f{n:02}" for n in range(24, 60) if n != 40]


def test_state_without_a_count_of_events_continues_from_its_events():
    world = World([item(f"f{n:02}", f"Film {n}") for n in range(60)])
    world.tell(*(done("ann", f"f{n:02}", at=n) for n in range(48)))
    scene = world.people["ann"].scenes["home"]
    old = msgspec.msgpack.encode((scene.recent, scene.likes, scene.dislikes, scene.liked))
    decoded = msgspec.msgpack.decode(old, type=SceneContext)
    assert decoded.met == 0
    world.people["ann"] = msgspec.structs.replace(world.people["ann"], scenes={"home": decoded})
    world.tell(done("ann", "f50", at=50))
    assert world.people["ann"].scenes["home"].met == 49


def test_history_of_a_newcomer_to_a_scene_comes_from_other_scenes():
    world = World([item(f"f{n:02}", f"Film {n}") for n in range(60)])
    world.tell(done("ann", "f01", at=1, scene="cart"), done("ann", "f02", EventKind.VIEW, at=2, scene="mail"))
    world.tell(done("ann", "f03", at=0))
    past = history(world.people["ann"], "home", catalogue=world.catalogue, settings=Ranking())
    assert [one.item for one in past] == ["f01", "f02", "f03"]


def test_remembered_data_is_small_and_enough_to_learn(world):
    chosen = world.shortlist("ann", settings=SETTINGS)
    kept = world.ranker().remember(heard(world, chosen, Scores(scores=(0.0, 1.0, 2.0, 3.0), model_version="m")))
    size = kept.marks.nbytes + kept.signals.nbytes + (0 if kept.model is None else kept.model.nbytes)
    assert size <= 48 * len(chosen.order)
    after = learn(Blend(), kept, world.ids(chosen)[3])
    assert after.lists == 1
    assert after.model_weight > 0
    assert learn(Blend(), world.ranker().remember(chosen), "f03") == Blend()


def test_popular_is_the_most_liked_unseen_items(world):
    world.tell(*(done(f"x{n}", "f20", at=9000 + n) for n in range(20)), done("x0", "f21", at=9100))

    def best(user: str, count: int) -> tuple[str, ...]:
        return popular(world.prepared(user, now_ms=NOW + 9999).moment, count)

    assert best("ann", 3)[0] == "f20"
    assert not {"f03", "f04"} & set(best("ann", 30))
    assert best("nobody", 1) == ("f20",)


def test_item_knn_ranks_nearly_as_that_of_the_evaluation():
    random_ = random.Random(1)
    items = [f"f{n:02}" for n in range(60)]
    world, reference = World([item(name) for name in items]), ItemKnn()
    reference.offer(items)
    for user in range(200):
        taste = user % 3
        met = random_.sample([name for n, name in enumerate(items) if n % 3 == taste or random_.random() < 0.2], 12)
        for at, name in enumerate(met):
            kind = EventKind.LIKE if random_.random() < 0.7 else EventKind.VIEW
            world.tell(done(f"u{user}", name, kind, at=100 * user + at))
            reference.learn(f"u{user}", name, kind is EventKind.LIKE)
    shared = 0
    for user in range(200):
        ranked = item_knn(world.prepared(f"u{user}", now_ms=NOW + 10**6).moment, 10)
        assert len(ranked) == 10
        shared += len(set(ranked) & set(reference.order(f"u{user}").best(10, "", 0.5)))
    assert shared / 2_000 > 0.9


def test_item_knn_of_a_user_without_likes_is_the_items_with_most_events(world):
    world.tell(*(done(f"x{n}", "f20", EventKind.VIEW, at=9000 + n) for n in range(20)))
    ranked = item_knn(world.prepared("nobody", now_ms=NOW + 9999).moment, 30)
    assert (len(ranked), ranked[0]) == (30, "f20")


class TestReasons:
    def reasons(self, world: World, user: str = "ann", scene: str = "home") -> dict[str, Entry]:
        entries = world.listed(user, scene, settings=replace(PLAIN, length=30))
        return {entry.item: entry for entry in entries}

    def test_reason_of_a_co_visited_item_names_the_like(self):
        others = [item(f"other-{n}", published=NOW - 9 - n) for n in range(9)]
        world = World([*(item(name, name.upper()) for name in ("a", "b", "x", "y")), *others])
        for n in range(5):
            world.tell(done(f"p{n}", "a", at=n), done(f"p{n}", "x", at=n))
            world.tell(done(f"q{n}", "b", at=n), done(f"q{n}", "y", at=n))
        world.tell(done("ann", "a", at=100), done("ann", "b", at=101))
        found = self.reasons(world)
        assert found["x"].reason.text == "because you liked A"
        assert found["x"].reason.because == ("a",)
        assert found["y"].reason.because == ("b",)

    def test_reason_from_views_alone_names_no_likes(self):
        world = World([item(name, name.upper()) for name in ("a", "x")])
        for n in range(5):
            world.tell(done(f"p{n}", "a", at=n), done(f"p{n}", "x", at=n))
        world.tell(done("ann", "a", EventKind.VIEW, at=100))
        assert self.reasons(world)["x"].reason.text == "met together with A"
        assert self.reasons(world)["x"].reason.because == ("a",)

    def test_reason_of_a_similar_item_names_the_shared_attributes(self):
        films = [item("a", "A", ["noir", "film"]), item("b", "B", ["noir", "film"])]
        world = World([*films, *(item(f"c{n}", f"C{n}", ["film"]) for n in range(9))])
        world.tell(done("ann", "a"))
        assert self.reasons(world)["b"].reason.text == "noir, like A"
        assert self.reasons(world)["b"].reason.because == ("a",)

    def test_reason_of_a_trending_or_new_item_says_so(self):
        world = World([item("hit"), item("new", published=NOW - 1000)])
        world.tell(done("p", "hit", scene="cart"))
        found = self.reasons(world, "nobody", "cart")
        assert found["hit"].reason.code == Source.TRENDING
        assert "cart" in found["hit"].reason.text
        assert found["new"].reason.code == Source.FRESH
