"""The model is not asked where it adds nothing: the verdict by partitions and versions, and the lists that follow."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

import pytest
from msgspec import msgpack
from msgspec.structs import astuple
from msgspec.structs import replace as changed

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.models import Role
from schemas.recommendations import Degraded, Recommendation, Unasked
from schemas.scoring import Scores
from streams.fold.context import Steer
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.ranking.comparison import is_drawn
from streams.ranking.gain import WINDOW, Gain, PairedLike, Sums, Verdict
from streams.serving.gains import Gains, State
from streams.serving.live_versions import LiveVersion
from tests.support.background import running
from tests.support.listing import PLAIN, Bench, MemoryState

NOTHING = Sums(10_000, -200, 1_500, -100.0, 300.0)
HALF = Sums(1_500, -30, 225, -15.0, 45.0)
"""Not enough by itself; twice this is."""

SAMPLED = replace(PLAIN, compared=4)


def by(version: str = "", role: Role = Role.CHAMPION) -> LiveVersion:
    return LiveVersion(role, version, None, Catalogue().vectors)


def scores(version: str) -> Scores:
    return Scores(scores=(), model_version=version)


def holding(**sums: Sums) -> MemoryState:
    """A state with this evidence about version v1, by scene."""
    return MemoryState(gains={scene: Gain("v1", each) for scene, each in sums.items()})


class Deciding:
    """Verdicts over some partitions, after an answer of the champion v1."""

    def __init__(self, states: Mapping[int, State]) -> None:
        self.metrics = Metrics()
        self.states = dict(states)
        self.gains = Gains(self.states, margin=0.005, compared=4, metrics=self.metrics)
        self.gains.champion_of(by(), scores("v1"))

    def verdicts(self) -> list[float]:
        value = self.metrics.registry.get_sample_value
        return [value("ouzel_model_verdicts", {"verdict": each.value}) or 0.0 for each in Verdict]


def test_model_is_asked_until_it_is_shown_to_add_nothing() -> None:
    deciding = Deciding({0: MemoryState()})
    assert deciding.gains.asks("home", by())
    deciding.gains.take(0, PairedLike("home", "v1", None, 0))
    assert deciding.gains.asks("home", by()), "one like is not enough"
    for _ in range(100):
        deciding.gains.take(0, PairedLike("home", "v1", None, 0))
    assert not deciding.gains.asks("home", by())
    assert deciding.gains.asks("cart", by()), "of another scene nothing is known"


def test_evidence_survives_a_restart() -> None:
    state = holding(home=NOTHING)
    stored = msgpack.decode(msgpack.encode(state.gains["home"]), type=Gain)
    assert astuple(stored.sums) == astuple(NOTHING)
    gains = Gains({0: state}, margin=0.005, compared=4, metrics=Metrics())
    assert gains.asks("home", by()), "it is not known yet which version answers"
    gains.champion_of(by(), scores("v1"))
    assert not gains.asks("home", by())


def test_verdict_is_of_all_partitions_of_a_worker() -> None:
    states: dict[int, State] = {0: holding(home=HALF), 1: holding(home=HALF)}
    deciding = Deciding({0: states[0]})
    assert deciding.gains.asks("home", by())
    deciding.states[1] = states[1]
    deciding.gains.look()
    assert not deciding.gains.asks("home", by())
    del deciding.states[0]
    deciding.gains.look()
    assert deciding.gains.asks("home", by())


def test_new_champion_is_asked_and_starts_over() -> None:
    state = holding(home=NOTHING)
    gains = Deciding({0: state}).gains
    assert not gains.asks("home", by("v1"))
    assert gains.asks("home", by("v2")), "before its first answer"
    assert gains.champion_of(by("v2"), scores("v2")) == "v2"
    assert gains.asks("home", by("v2"))
    gains.take(0, PairedLike("home", "v1", 0, None))
    assert state.gains["home"] == Gain("v1", NOTHING), "a like of lists of the champion before"
    gains.take(0, PairedLike("home", "v2", 0, None))
    assert state.gains["home"].sums == Sums(1, 1, 1, 1.0, 1.0)


def test_challenger_is_asked_and_does_not_count_for_the_champion() -> None:
    gains = Deciding({0: holding(home=NOTHING)}).gains
    assert gains.asks("home", by("v2", Role.CANARY))
    assert gains.champion_of(by("v2", Role.CANARY), scores("v2")) == ""
    assert gains.champion_of(by("v3"), scores("v1")) == "", "another version answered for the champion"
    assert not gains.asks("home", by("v1"))


def test_windows_of_all_partitions_turn_together() -> None:
    half = Sums(WINDOW // 2, -2_000, 10_000, -1_000.0, 3_000.0)
    states = {0: holding(home=half), 1: holding(home=half)}
    deciding = Deciding(states)
    deciding.gains.take(0, PairedLike("home", "v1", None, None))
    for state in states.values():
        assert state.gains["home"].now.likes == 0
        assert state.gains["home"].before.likes >= WINDOW // 2
    assert not deciding.gains.asks("home", by()), "the window before still counts"


def test_like_of_a_partition_that_is_gone_is_left_out() -> None:
    gains = Deciding({0: MemoryState()}).gains
    gains.take(1, PairedLike("home", "v1", None, 0))
    assert gains.asks("home", by())


def test_change_of_the_verdict_is_logged_once_and_exported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "streams.serving.gains")
    deciding = Deciding({0: holding(**{"ho\nme": NOTHING})})
    for _ in range(3):
        assert not deciding.gains.asks("ho\nme", by())
    assert deciding.gains.asks("cart", by())
    assert deciding.verdicts() == [0, 1, 1]
    (line,) = caplog.messages
    assert line == (
        "The model adds nothing to lists of scene ho\\nme (hits -0.0200, NDCG -0.0100, over 10,000 likes): from now on "
        "it is asked for one user in 4"
    )
    deciding.states[0] = MemoryState()
    deciding.gains.look()
    assert caplog.messages[1:] == ["The model is asked about all lists of scene ho\\nme again"]
    assert deciding.verdicts() == [0, 2, 0]


def users(bench: Bench, *, compared: bool) -> Iterator[str]:
    names = (f"user-{number}" for number in count())
    return (name for name in names if is_drawn(name, bench.clock.now_ms(), SAMPLED.compared) is compared)


async def listed(bench: Bench, user: str, item: str = "film-1") -> Recommendation:
    """The user's next list."""
    before = len(bench.made(user))
    bench.did(user, item)
    await bench.until(lambda: len(bench.made(user)) > before and not bench.lists.busy())
    return bench.made(user)[-1]


def useless() -> Gain:
    return Gain("scripted-1", NOTHING)


async def test_list_is_made_without_a_model_that_adds_nothing_and_says_so() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, ranking=SAMPLED)) as bench:
        bench.state.gains["default"] = useless()
        others = users(bench, compared=False)
        first = await listed(bench, next(others))
        assert (first.model_version, first.unasked) == ("scripted-1", None), "the version is known once it has answered"
        asked = len(scorer.asked)
        made = await listed(bench, next(others))
        assert (made.unasked, made.degraded, made.model_version) == (Unasked.ADDS_NOTHING, None, None)
        assert len(made.entries) == 10
        assert all(entry.model is None for entry in made.entries)
        assert len(scorer.asked) == asked
        assert bench.count("ouzel_unasked_lists_total") == 1
        assert bench.count("ouzel_lists_total", degraded="none") == 2
        assert bench.count("ouzel_model_lists_total", role="champion") == 1


async def test_compared_users_go_on_getting_lists_of_the_model() -> None:
    async with running(Bench(ScriptedScorer(), ranking=SAMPLED)) as bench:
        bench.state.gains["default"] = useless()
        sampled = users(bench, compared=True)
        for _ in range(3):
            made = await listed(bench, next(sampled))
            assert (made.unasked, made.model_version) == (None, "scripted-1")


async def test_list_without_such_a_model_is_the_one_of_a_worker_without_a_model() -> None:
    async with (
        running(Bench(ScriptedScorer(), ranking=SAMPLED)) as bench,
        running(Bench(None, ranking=SAMPLED)) as none,
    ):
        bench.state.gains["default"] = useless()
        others = users(bench, compared=False)
        await listed(bench, next(others))
        user = next(others)
        with_model, without = await listed(bench, user), await listed(none, user)
        assert [entry.item for entry in with_model.entries] == [entry.item for entry in without.entries]
        assert [entry.score for entry in with_model.entries] == [entry.score for entry in without.entries]


async def test_sentence_of_a_user_is_read_by_a_model_that_adds_nothing() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, ranking=SAMPLED)) as bench:
        bench.state.gains["default"] = useless()
        others = users(bench, compared=False)
        await listed(bench, next(others))
        user = next(others)
        bench.state.contexts[user] = changed(bench.state.context(user), steers=(Steer("something short", 1, 0),))
        assert (await listed(bench, user)).unasked is None
        scorer.vector_of = lambda _: (1.0, 0.0)
        await listed(bench, next(users(bench, compared=True)))
        assert (await listed(bench, user, "film-2")).unasked is Unasked.ADDS_NOTHING, "it reads no sentences"


async def test_likes_of_compared_lists_of_the_model_are_evidence() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer)) as bench:
        await listed(bench, "u")
        await listed(bench, "u", "film-2")
        assert bench.state.gain("default").version == "scripted-1"
        assert bench.state.gain("default").sums.likes == 1
        scorer.script = Script.DOWN
        made = await listed(bench, "u", "film-3")
        assert (made.degraded, bench.state.gain("default").sums.likes) == (Degraded.UNAVAILABLE, 2)
        await listed(bench, "u", "film-4")
        assert bench.state.gain("default").sums.likes == 2, "one of the open lists was made without the model"
        assert bench.count("ouzel_judged_likes_total") == 3
