"""Item vectors: the order of description, model versions, and the effect on lists."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.recommendations import Source
from schemas.scoring import ItemVectors, Scores
from streams.candidates.registry import BUILT_IN_COLUMNS, Sources
from streams.items.catalogue import Catalogue
from streams.items.vectors import Vectors
from streams.ranking.blend import Blend, behavioural, learn
from streams.ranking.drawing import Noise
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Shortlist
from tests.support.ranking_world import PLAIN, World, done, item

AFFINITY, SIGNALS = "affinity", BUILT_IN_COLUMNS.names
COLUMN = SIGNALS.index(AFFINITY)


def answer(rows: list[list[float]], version: str = "v1") -> ItemVectors:
    width = len(rows[0]) if rows else 0
    return ItemVectors(width=width, values=np.array(rows, "<f4").tobytes(), model_version=version)


def fill(vectors: Vectors, version: str = "v1", width: int = 2) -> None:
    """Describe all waiting items: item n gets the vector (n, 1)."""
    while asked := vectors.next(10):
        vectors.put(asked, answer([[float(number), 1.0][:width] for number in asked], version))


def test_items_wait_to_be_described_longest_waiting_first():
    vectors = Vectors()
    for number in (5, 3, 200):
        vectors.want(number)
    assert list(vectors.next(2)) == [5, 3]
    vectors.put(vectors.next(2), answer([[1.0, 2.0], [3.0, 4.0]]))
    assert (list(vectors.next(2)), vectors.waiting, vectors.version, vectors.width) == ([200], 1, "v1", 2)
    found = vectors.affinity((1.0, 10.0), "v1", 201)
    assert found is not None
    assert found.scores[[5, 3, 200, 0]].tolist() == [21.0, 43.0, 0.0, 0.0]
    assert np.flatnonzero(found.known).tolist() == [3, 5]
    assert np.isnan(found.of(np.array([5, 200]))).tolist() == [False, True]


def test_item_changed_while_described_keeps_waiting():
    vectors = Vectors()
    for number in (1, 2, 3):
        vectors.want(number)
    asked = vectors.next(3)
    vectors.want(2)
    vectors.drop(3)
    vectors.put(asked, answer([[1.0], [1.0], [1.0]]))
    assert list(vectors.next(9)) == [2]
    found = vectors.affinity((1.0,), "v1", 4)
    assert found is not None
    assert found.known.tolist() == [False, True, False, False]


def test_new_version_discards_the_vectors_of_the_old():
    vectors = Vectors()
    for number in (0, 1):
        vectors.want(number)
    fill(vectors)
    assert vectors.affinity((1.0, 1.0), "v2", 2) is None
    assert vectors.affinity((1.0, 1.0, 1.0), "v1", 2) is None
    assert vectors.affinity((), "v1", 2) is None
    assert not vectors.next(9)
    vectors.doubt("v1")
    assert not vectors.next(9)
    vectors.doubt("v2")
    probe = vectors.next(9)
    assert len(probe) == 1
    vectors.put(probe, answer([[7.0, 7.0]], "v2"))
    assert (vectors.version, list(vectors.next(9))) == ("v2", [1])
    assert vectors.affinity((1.0, 1.0), "v1", 2) is None


def test_late_answer_of_the_previous_version_changes_nothing():
    vectors = Vectors()
    vectors.want(0)
    fill(vectors, "v2")
    vectors.doubt("v1")
    vectors.put(vectors.next(1), answer([[0.0, 1.0]], "v2"))
    assert not vectors.next(1)
    assert vectors.affinity((1.0, 1.0), "v2", 1) is not None


def test_model_without_vectors_leaves_no_item_waiting():
    vectors = Vectors()
    for number in range(3):
        vectors.want(number)
    vectors.put(vectors.next(2), answer([], "full"))
    vectors.want(9)
    assert (vectors.waiting, vectors.next(9)) == (0, {})
    vectors.doubt("v1")
    vectors.put(vectors.next(9), answer([[1.0, 1.0]], "v1"))
    assert vectors.waiting == 3
    fill(vectors)
    assert vectors.waiting == 0


def test_failed_item_waits_behind_the_others():
    vectors = Vectors()
    for number in range(4):
        vectors.want(number)
    vectors.postpone(vectors.next(2))
    assert list(vectors.next(9)) == [2, 3, 0, 1]


@given(st.lists(st.tuples(st.sampled_from(["want", "drop", "ask", "answer", "v1", "v2"]), st.integers(0, 90))))
def test_vectors_match_the_latest_text_and_version(steps):
    vectors, texts, version = Vectors(), {}, "v1"
    asked, meant = {}, {}
    for count, (what, number) in enumerate(steps):
        if what == "want":
            vectors.want(number)
            texts[number] = count
        elif what == "drop":
            vectors.drop(number)
            texts.pop(number, None)
        elif what == "ask":
            asked = vectors.next(5)
            meant = {number: texts[number] for number in asked}
        elif what == "answer" and asked:
            vectors.put(asked, answer([[float(meant[number]), float(version == "v2")] for number in asked], version))
            asked = {}
        elif what in ("v1", "v2"):
            version = what
            vectors.doubt(version)
    found = vectors.affinity((1.0, 0.0), vectors.version, 100)
    if found is not None:
        of_version = vectors.affinity((0.0, 1.0), vectors.version, 100)
        assert of_version is not None
        for number in np.flatnonzero(found.known).tolist():
            assert found.scores[number] == texts[number]
            assert of_version.scores[number] == float(vectors.version == "v2")
    known = set() if found is None else set(np.flatnonzero(found.known).tolist())
    if vectors.width:
        assert known | set(vectors.next(200)) >= texts.keys()


def test_catalogue_requests_vectors_for_new_and_changed_items():
    catalogue = Catalogue()
    catalogue.add(item("a", "Heat", ["crime"]))
    catalogue.add(item("b", "Alien", published=5))
    fill(catalogue.vectors)
    catalogue.add(item("a", "Heat", ["crime"], published=9))
    assert not catalogue.vectors.next(9)
    catalogue.add(item("a", "Heat", ["drama"]))
    assert list(catalogue.vectors.next(9)) == [0]
    catalogue.withdraw("b")
    catalogue.add(item("b", "Alien"))
    assert list(catalogue.vectors.next(9)) == [0, 1]


def test_description_of_an_item_is_truncated():
    catalogue = Catalogue()
    catalogue.add(msgspec.structs.replace(item("a", "Heat", ["crime", "Los Angeles"]), text="x" * 400))
    assert catalogue.about(0).startswith("crime, Los Angeles. xxx")
    assert len(catalogue.about(0)) == 300
    catalogue.add(item("b", "Alien"))
    assert catalogue.about(1) == ""


@pytest.fixture
def world() -> World:
    """Films that other users like in rows of four; film n has the vector (n, 1), but the last two have none yet."""
    made = World([item(f"f{n:03}", f"Film {n}") for n in range(60)])
    fill(made.catalogue.vectors)
    for n in (58, 59):
        made.catalogue.vectors.want(n)
    for n in range(10):
        made.tell(*(done(f"p{n}", f"f{(4 * n + k):03}", at=100 * n + k) for k in range(4)))
    made.tell(done("ann", "f000", at=5000), done("ann", "f057", at=5001), done("bob", "f058", at=5002))
    return made


def heard(world: World, scores: Scores, settings: Ranking = PLAIN, blend: Blend | None = None) -> Shortlist:
    asked = world.shortlist("ann", settings=settings)
    return world.ranker(settings).rescore(asked, scores, blend or Blend())


def told(*vector: float, scores: tuple[float, ...] = (), version: str = "v1") -> Scores:
    return Scores(scores=scores, model_version=version, vector=vector)


def test_nearest_source_proposes_allowed_items_only(world):
    small = replace(PLAIN, sources=Sources().sized(nearest=3))
    chosen = heard(world, told(1.0, 0.0), small)
    near = [Sources().named(bits) for bits in chosen.candidates.sources.tolist()]
    found = {
        world.catalogue.index[n] for n, of in zip(chosen.candidates.numbers, near, strict=True) if Source.NEAREST in of
    }
    assert found == {"f056", "f055", "f054"}
    plain = world.shortlist("ann", settings=small)
    assert set(plain.candidates.numbers) <= set(chosen.candidates.numbers)


def test_affinity_is_a_signal_with_the_mean_for_items_without_vectors(world):
    chosen = heard(world, told(1.0, 0.0))
    column = chosen.signals[:, COLUMN]
    numbers = chosen.candidates.numbers
    known = numbers < 58
    assert (np.diff(column[known]) > 0).all()
    assert column.mean() == pytest.approx(0.0, abs=1e-5)
    assert not known.all()
    assert column[~known] == pytest.approx(0.0, abs=1e-5)
    strong = msgspec.structs.replace(Blend(), weights=tuple(float(name == AFFINITY) for name in SIGNALS))
    assert world.ids(world.ranker().reorder(chosen, strong))[0] == "f056"
    assert behavioural(strong, chosen.signals, chosen.modifiers) == pytest.approx(0.0)


@pytest.mark.parametrize("scores", [told(), told(1.0, 0.0, version="v9"), told(1.0, 0.0, 0.0)])
def test_list_without_a_matching_vector_equals_one_without_a_model(world, scores):
    plain, chosen = world.shortlist("ann"), heard(world, scores)
    assert chosen.logits is None
    assert (chosen.signals == plain.signals).all()
    assert (chosen.signals[:, COLUMN] == 0.0).all()
    assert (chosen.scores == plain.scores).all()
    assert chosen.order.tolist() == plain.order.tolist()
    assert (chosen.scores == behavioural(Blend(), chosen.signals, chosen.modifiers)).all()


def test_model_weight_applies_to_the_packed_correction(world):
    """Packed scores equal to the affinity change nothing; a higher one lifts its candidate."""
    settings = replace(PLAIN, rescored=4)
    asked = world.shortlist("ann", settings=settings)
    numbers = asked.candidates.numbers[asked.order[:4]]
    same = tuple(float(n) for n in numbers)
    chosen = heard(world, told(1.0, 0.0, scores=same), settings)
    assert chosen.model is not None
    assert chosen.logits is not None
    assert not chosen.model.any()
    assert {
        int(n): float(x) for n, x in zip(chosen.candidates.numbers, chosen.logits, strict=True) if n in numbers
    } == {int(n): float(n) for n in numbers}
    better = tuple(float(n) + 5.0 * (at == 2) for at, n in enumerate(numbers))
    chosen = heard(world, told(1.0, 0.0, scores=better), settings)
    assert chosen.model is not None
    assert chosen.candidates.numbers[chosen.model.argmax()] == numbers[2]
    assert np.count_nonzero(chosen.model) == 4
    assert learn(Blend(), world.ranker().remember(chosen), world.catalogue.index[int(numbers[2])]).model_weight > 0


def test_entry_carries_the_model_s_logit_and_the_like_that_is_closest(world):
    settings = replace(PLAIN, length=60, rescored=2, sources=Sources().sized(alike=0))
    asked = world.shortlist("ann", settings=settings)
    first = asked.candidates.numbers[asked.order[:2]]
    chosen = heard(world, told(1.0, 0.0, scores=(90.0, 91.0)), settings)
    entries = world.ranker(settings).assemble(chosen, Blend(), Noise("1"))
    by_item = {entry.item: entry for entry in entries}
    assert [by_item[world.catalogue.index[int(n)]].model for n in first] == [90.0, 91.0]
    assert by_item["f050"].model == 50.0
    assert Source.NEAREST in by_item["f050"].sources
    assert by_item["f050"].reason.text == "close to Film 57, which you liked"
    assert (by_item["f050"].reason.code, by_item["f050"].reason.because) == (Source.NEAREST, ("f057",))
    assert by_item["f001"].reason.code == Source.COVISITED


def test_user_without_likes_gets_the_model_as_reason(world):
    chosen = world.ranker().rescore(world.shortlist("nobody"), told(1.0, 0.0), Blend())
    settings = replace(PLAIN, length=60)
    entries = world.ranker(settings).assemble(chosen, Blend(), Noise("1"))
    (found,) = [entry for entry in entries if entry.item == "f056"]
    assert found.reason.code == Source.NEAREST
    assert "the model reads" in found.reason.text
