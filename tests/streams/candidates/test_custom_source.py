"""A candidate source is one file: it proposes, is ranked and gives reasons, and never costs a user the list."""

import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from schemas.limits import MAX_SIGNALS
from streams.candidates.registry import Candidates, Sources
from streams.candidates.source import Signal, Words
from streams.errors import BadSetting
from streams.ranking.blend import Blend, learn
from streams.ranking.drawing import Noise
from streams.serving.custom_sources import load_sources
from tests.support.background import running
from tests.support.listing import PLAIN as LISTED
from tests.support.listing import Bench
from tests.support.ranking_world import PLAIN, World, done, item

EXAMPLES = Path(__file__).parents[3] / "examples"


def constant(moment: Any, numbers: Any) -> Any:
    return numbers.astype(float)


@dataclass(frozen=True)
class Picks:
    """A source whose every part a test can replace."""

    numbers: Callable[[Any], Any] = lambda moment: np.array([1, 2])
    name: Any = "picks"
    size: Any = 2
    signals: tuple[Signal, ...] = (Signal("picks", 0.5, constant),)
    reads_model: bool = False
    says: Callable[..., Any] = lambda number: Words("picked by hand")

    def propose(self, moment: Any) -> Any:
        return self.numbers(moment)

    def reason(self, moment: Any, number: int, *, proposed: bool, shares: Any) -> Any:
        return self.says(number)


PICKS = Picks()
NOT_A_SOURCE = 7


def explode(*_: Any) -> Any:
    raise RuntimeError("user ann")


@pytest.fixture
def world() -> World:
    made = World([item(f"f{n}", f"Film {n}") for n in range(30)])
    made.tell(*(done(f"p{n}", f"f{n}", at=n) for n in range(20)))
    return made


@pytest.fixture
def example() -> Iterator[Sources]:
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield load_sources(" custom_source:SAME_MAKER,")
    finally:
        sys.path.remove(str(EXAMPLES))
        sys.modules.pop("custom_source", None)


def test_example_source_adds_candidates_with_a_signal_and_a_reason(example):
    films = [item(f"f{n}", f"Film {n}", ["film"]) for n in range(20)]
    made = World([*films, item("heat", "Heat", ["maker:Mann"]), item("thief", "Thief", ["maker:Mann"])])
    made.tell(done("ann", "heat"))
    entries = {entry.item: entry for entry in made.listed("ann", settings=replace(PLAIN, sources=example))}
    thief = entries["thief"]
    assert "same_maker" in thief.sources
    assert thief.contributions["same_maker"] > 0
    assert (thief.reason.code, thief.reason.text, thief.reason.because) == (
        "same_maker",
        "by Mann, like Heat",
        ("heat",),
    )
    assert next(iter(entries)) == "thief"


def test_blend_learns_the_weight_of_a_custom_signal(world):
    ranker = world.ranker(replace(PLAIN, sources=Sources((PICKS,))))
    stored = msgspec.structs.replace(Blend(), lists=3)
    blend = ranker.fit(stored)
    assert dict(zip(blend.names, blend.weights, strict=True))["picks"] == 0.5
    assert blend.lists == 3
    chosen = ranker.shortlist(ranker.prepare(world.people["p3"], "home", now_ms=2**41), blend)
    after = learn(stored, ranker.remember(chosen), "f2")
    assert after.names == ranker.sources.columns.names
    assert after.lists == 4
    assert Blend().names == World().ranker().fit(after).names


@pytest.mark.parametrize(
    ("failing", "why"),
    [
        (Picks(explode), "RuntimeError"),
        (Picks(lambda moment: np.arange(3)), "more than its size"),
        (Picks(lambda moment: np.array([1, 99])), "not in the catalogue"),
        (Picks(lambda moment: np.array([-1])), "not in the catalogue"),
        (Picks(lambda moment: np.array([1.5])), "item numbers"),
        (Picks(lambda moment: ["f1"]), "item numbers"),
        (Picks(lambda moment: np.array([[1]])), "item numbers"),
        (Picks(signals=(Signal("x", 1, lambda moment, numbers: np.full(len(numbers), np.nan)),)), "NaN"),
        (Picks(signals=(Signal("x", 1, lambda moment, numbers: np.full(len(numbers), 1e200)),)), "beyond"),
        (Picks(signals=(Signal("x", 1, lambda moment, numbers: np.zeros(1)),)), "one number"),
        (Picks(signals=(Signal("x", 1, explode),)), "RuntimeError"),
        (Picks(says=explode), "RuntimeError"),
        (Picks(says=lambda number: "because"), "Words"),
        (Picks(says=lambda number: Words("x", (99,))), "not in the catalogue"),
    ],
)
def test_failing_source_is_left_out_and_reported(world, failing, why):
    settings = replace(PLAIN, sources=Sources((failing,)))
    chosen = world.shortlist("nobody", settings=settings)
    entries = world.ranker(settings).assemble(chosen, world.ranker(settings).fit(Blend()), Noise("1"))
    assert len(entries) == 10
    assert why in chosen.moment.failures["picks"]
    assert "ann" not in chosen.moment.failures["picks"]


def test_source_cannot_show_what_may_not_be_shown(world):
    world.tell(done("ann", "f1", at=99))
    found = world.shortlist("ann", settings=replace(PLAIN, sources=Sources((PICKS,)))).candidates
    assert isinstance(found, Candidates)
    assert 1 not in found.numbers
    assert 2 in found.numbers


async def test_worker_counts_a_failing_source_and_the_user_gets_the_list(caplog: pytest.LogCaptureFixture) -> None:
    ranking = replace(LISTED, sources=Sources((Picks(explode),)))
    async with running(Bench(None, ranking=ranking)) as bench:
        bench.state.blends["default"] = msgspec.structs.replace(Blend(), lists=5)
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_failed_sources_total", source="picks") == 1)
    assert len(bench.made()[0].entries) == 10
    assert "RuntimeError" in caplog.text
    assert "user ann" not in caplog.text
    assert bench.count("ouzel_refitted_blends_total") == 1
    assert "picks" in bench.state.parts["default"].signals


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ((PICKS, Picks()), "two candidate sources"),
        ((Picks(name="covisited"),), "two candidate sources"),
        ((Picks(name="Mine"),), "cannot name"),
        ((Picks(name="model"),), "cannot name"),
        ((Picks(name=None),), "cannot name"),
        ((Picks(size=-1),), "size"),
        ((Picks(size="9"),), "size"),
        ((Picks(signals=(Signal("trend", 0.1, constant),)),), "two signals"),
        ((Picks(signals=(Signal("mine", float("nan"), constant),)),), "prior"),
        ((Picks(signals=("mine",)),), "signal without a name"),  # type: ignore[arg-type]
        (tuple(Picks(name=f"s{n}", signals=()) for n in range(11)), "at most 16"),
        ((Picks(signals=tuple(Signal(f"x{n}", 0, constant) for n in range(MAX_SIGNALS))),), "at most 32"),
        ((Picks,), "is a class"),
        ((NOT_A_SOURCE,), "lacks"),
    ],
)
def test_registry_refuses_invalid_sources(sources, why):
    with pytest.raises(ValueError, match=why):
        Sources(sources)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("nowhere.at_all:x", "cannot be imported"),
        ("nowhere", "write package.module:object"),
        ("a b:x", "write package.module:object"),
        (f"{__name__}:ABSENT", "has no ABSENT"),
        (f"{__name__}:NOT_A_SOURCE", "lacks"),
        (f"{__name__}:PICKS,{__name__}:PICKS", "two candidate sources"),
    ],
)
def test_setting_with_no_usable_source_stops_the_worker(setting, why):
    with pytest.raises(BadSetting, match=why):
        load_sources(setting)


def test_setting_without_sources_gives_the_built_in_ones():
    assert load_sources("") == Sources()
    assert pickle.loads(pickle.dumps(Sources())).columns == Sources().columns


def test_list_of_a_tiny_catalogue_has_every_item_that_may_be_shown():
    made = World([item(name) for name in "abc"])
    made.tell(done("bob", "a"))
    assert {entry.item for entry in made.listed("nobody")} == {"a", "b", "c"}
    assert {entry.item for entry in made.listed("bob")} == {"b", "c"}
