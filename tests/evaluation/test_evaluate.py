"""The live ranking on real events: the data, the adapter, and a slice of the evaluation."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from deploy import movielens
from deploy.errors import MissingPart, StartFailed
from deploy.evaluate import SETTINGS, WITH, WITHOUT, Core, Plan, evaluate, likes, run_seed
from inference.evaluation.protocol import Moment, hit_ratio, ndcg
from inference.scripted import Script, ScriptedScorer
from schemas.scoring import ScoreRequest
from tests import parts


@pytest.fixture(autouse=True)
def data() -> None:
    try:
        movielens.find()
    except MissingPart as missing:
        parts.need(False, str(missing))


def test_the_films_and_ratings_are_all_there():
    films = {film.id: film for film in movielens.items()}
    events = movielens.events()
    assert (len(films), len(events), len({event.user for event in events})) == (1682, 100_000, 943)
    assert films["1"].title == "Toy Story (1995)"
    assert films["1"].attributes == ("Animation", "Children's", "Comedy")
    assert {event.item for event in events} <= films.keys()
    assert sum(map(likes, events)) == 55_375


def test_a_seed_draws_the_order_of_ties_and_nothing_else():
    one, again, other = movielens.events(0), movielens.events(0), movielens.events(1)
    assert one == again
    assert one != other
    assert {event.id: event for event in one} == {event.id: event for event in other}
    for events in (one, other):
        assert all(a.ts <= b.ts for a, b in pairwise(events))


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(movielens, "PACKAGE", "no-such-package")
    with pytest.raises(MissingPart, match="pip install --no-deps recbole"):
        movielens.find()


def asked(scorer: ScriptedScorer) -> Core:
    core = Core(movielens.items(), scorer=scorer, ask_every=2)
    events = movielens.events()[:1200]
    for event in events:
        core.learn(event, likes(event))
    return core


def test_the_model_is_asked_for_every_nth_test_and_its_failures_are_counted(request):
    scorer = ScriptedScorer()
    core = asked(scorer)
    request.addfinalizer(core.close)
    user = max(core.contexts, key=lambda name: len(core.contexts[name].seen))
    found = [core.rank(Moment(user, "default", 900_000_000_000), 10) for _ in range(4)]
    assert len(scorer.asked) == 2
    assert ["with_model" in one for one in found] == [True, False, True, False]
    assert all(len(one[WITH]) == len(one[WITHOUT]) == 10 for one in found)
    scorer.script = Script.DOWN
    again = core.rank(Moment(user, "default", 900_000_000_000), 10)
    assert core.failed == 1
    assert "with_model" not in again
    assert again[WITH] == found[1][WITH]


def favours(request: ScoreRequest) -> Sequence[float]:
    return [float(len(candidate.text)) for candidate in request.candidates]


def test_the_blend_of_the_model_learns_only_beside_the_one_without(request):
    core = asked(ScriptedScorer(favours))
    request.addfinalizer(core.close)
    assert core.blends[WITH] == core.blends[WITHOUT]  # no list had scores yet
    for event in [one for one in movielens.events()[1200:1300] if likes(one)]:
        core.rank(Moment(event.user, event.scene, event.ts), 10)
        core.learn(event, True)
    assert core.blends[WITH].model_square > core.blends[WITHOUT].model_square


def test_a_model_that_does_not_answer_stops_the_run_before_it_begins():
    def down() -> ScriptedScorer:
        scorer = ScriptedScorer()
        scorer.script = Script.DOWN
        return scorer

    with pytest.raises(StartFailed, match="triton build"):
        run_seed(0, Plan(scorer=down, limit=10))


@pytest.mark.slow
def test_on_a_slice_the_blend_beats_each_of_its_signals_and_the_simple_methods():
    outcome, _ = run_seed(0, Plan(limit=16_000))
    assert outcome.tests > 1500
    figures = {name: (hit_ratio(outcome.row(name)), ndcg(outcome.row(name))) for name in outcome.places}
    ours = figures.pop(WITHOUT)
    assert ours[0] >= max(figure[0] for figure in figures.values())
    assert ours[1] >= max(figure[1] for figure in figures.values())


def test_the_command_writes_the_report_in_its_shape(tmp_path):
    told = []
    report = evaluate(
        seeds=2,
        json=tmp_path / "report.json",
        scorer=ScriptedScorer,
        model_lists=5,
        settings=replace(SETTINGS, rescored=4),
        limit=1300,
        processes=1,
        progress=lambda label, done, total: told.append((label, done, total)),
    )
    assert json.loads((tmp_path / "report.json").read_text()) == report
    found = report["protocols"]["prequential"]
    assert {"ouzel", "ouzel_without_model", "popularity", "markov", "item_knn"} <= found["methods"].keys()
    assert "signal:met_long" in found["methods"]
    assert "with_model" not in found["methods"]
    assert set(found["methods"]["ouzel"]) == {"hr10", "ndcg10"}
    assert set(found["methods"]["ouzel"]["hr10"]) == {"mean", "spread"}
    assert found["paired"]["model"]["tests"][0] >= 5
    assert found["seeds"] == len(found["tests"]) == 2
    assert {label for label, _, _ in told} == {"tie seed 0", "tie seed 1"}
