"""The loop of versions in a simulated world, whose every action is checked (`tests.support.loop_world`)."""

import msgspec
import pytest

from inference.versions.actions import AddVerdict, Load, Publish, Remove, Train
from inference.versions.drift import Finding
from inference.versions.lifecycle import DECIDING, candidate, plan, stage
from inference.versions.state import Growth, Known, State
from inference.versions.store import Version
from schemas.models import ModelAck, ModelStatus, Role
from tests.support.loop_world import QUICK, Quality, Worker, World, named

GOOD, BAD, BAD_LIVE = Quality(0.5, 0.5), Quality(0.05, 0.05), Quality(0.3, 0.02)
OUTCOMES = {
    "good": (GOOD, ["shadow", "canary", "promoted"]),
    "worse": (BAD, ["shadow", "rejected"]),
    "worse live": (BAD_LIVE, ["shadow", "canary", "withdrawn"]),
    "fails a gate": (Quality(gates=False), ["rejected"]),
    "too slow": (Quality(measured=False), ["rejected"]),
    "cannot be loaded": (Quality(loads=False), ["rejected"]),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_version_ends_where_it_belongs(name: str) -> None:
    quality, events = OUTCOMES[name]
    world = World(qualities={2: quality})
    world.run(900)
    assert world.events(2) == events
    assert world.roles().champion.number == (2 if events[-1] == "promoted" else 1)  # type: ignore[union-attr]
    assert world.settled()
    if events[-1] == "promoted":
        assert [s.role for s in world.models if s.number == 1] == [Role.CHAMPION, Role.RETIRED]
    else:
        assert 2 not in world.placed


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("seed", range(12))
def test_crash_at_any_action_changes_no_outcome(name: str, seed: int) -> None:
    quality, events = OUTCOMES[name]
    world = World(seed=seed, qualities={2: quality})
    world.run(700, kills=0.4)
    world.run(700)
    assert [event for event in world.events(2) if event != "shadow"] == [e for e in events if e != "shadow"]
    assert world.settled()


@pytest.mark.parametrize("seed", range(8))
def test_versions_follow_each_other(seed: int) -> None:
    qualities = {2: Quality(0.45, 0.45), 3: Quality(0.1, 0.1), 4: Quality(0.7, 0.7)}
    world = World(seed=seed, qualities=qualities, most_versions=3)
    world.run(2_000, kills=0.1)
    world.run(800)
    assert [world.events(number)[-1] for number in (2, 3, 4)] == ["retired", "rejected", "promoted"]
    assert world.roles().champion.version == named(4)  # type: ignore[union-attr]
    assert world.settled()
    trained = [action for action in world.done if isinstance(action, Train)]
    assert [action.parent for action in trained] == [1, 2, 2]


@pytest.mark.parametrize(
    ("quality", "roles"),
    [
        (Quality(gates=False), [Role.MADE, Role.RETIRED]),
        (Quality(measured=False), [Role.MADE, Role.RETIRED]),
        (BAD, [Role.MADE, Role.SHADOW, Role.RETIRED]),
        (GOOD, [Role.MADE, Role.SHADOW, Role.CANARY, Role.CHAMPION]),
    ],
)
@pytest.mark.parametrize("kills", [0.0, 0.4])
def test_topic_tells_every_stage_of_a_version_with_its_reason(
    quality: Quality, roles: list[Role], kills: float
) -> None:
    world = World(qualities={2: quality})
    world.run(900, kills=kills)
    world.run(700)
    records = [status for status in world.models if status.number == 2]
    assert list(dict.fromkeys(status.role for status in records)) == roles, "a record may be repeated after a crash"
    assert records[0].reason == "trained from version 1 on 1 likes"
    if roles == [Role.MADE, Role.RETIRED]:
        assert records[-1].reason.startswith("gate ")


def test_version_at_its_gates_makes_room_for_a_newer_one() -> None:
    world = World()
    world.run(3)
    for number in (2, 3):
        record = Version(
            number=number, name=named(number), parent=1, kind="full", made_ms=1, cut_ms=1, events=1, likes=1, tests=1
        )
        world.known[number] = Known(record=record)
        world.run(1)
    world.run(900)
    assert [(status.role, status.reason) for status in world.models if status.number == 2][-1:] == [
        (Role.RETIRED, "it is not the newest in the store")
    ]


def test_record_of_a_promotion_tells_the_difference_with_its_interval() -> None:
    world = World(qualities={2: GOOD})
    world.run(900)
    last, champion = world.known[2].verdicts[-1], world.roles().champion
    assert champion is not None
    assert last.difference is not None
    assert champion.reason.startswith("no loss of hit ratio above ")
    assert champion.reason.endswith(f"; hit ratio {last.difference:+.3f} ({last.low:+.3f} to {last.high:+.3f})")


def test_withdrawn_canary_reports_its_lists() -> None:
    world = World(qualities={2: BAD_LIVE})
    world.run(900)
    last = world.known[2].verdicts[-1]
    assert last.event == "withdrawn"
    assert last.lists >= last.pairs > 0
    assert last.high is not None
    assert last.high < 0
    assert "lower by" in last.reason


def test_no_worker_means_no_shadow() -> None:
    world = World(workers=[], qualities={2: GOOD})
    world.run(300)
    assert world.roles().challenger.role == Role.SHADOW  # type: ignore[union-attr]
    assert world.events(2) == []


def test_unloading_waits_for_a_live_worker_that_has_not_followed() -> None:
    world = World(qualities={2: GOOD})
    world.run(900)
    state, _ = world.learner()
    world.loaded |= {1}
    world.placed |= {1}
    world.refresh(state)
    slow = ModelAck(worker="c", behind=0, ts=world.now, champion=named(2))
    state.take_ack(slow)
    assert not isinstance(plan(state, QUICK, world.now, DECIDING), Load), "it may still come to use version 1"
    state.take_ack(msgspec.structs.replace(slow, behind=state.end, champion=named(1)))
    assert not isinstance(plan(state, QUICK, world.now, DECIDING), Load), "it still uses version 1"
    later = world.now + 31_000
    assert plan(state, QUICK, later, DECIDING) == Load(frozenset({2})), "it has ended"


def test_server_that_started_again_is_told_what_to_serve() -> None:
    world = World(qualities={2: GOOD})
    world.run(900)
    state, _ = world.learner()
    world.loaded = {1}
    world.refresh(state)
    assert plan(state, QUICK, world.now, DECIDING) == Load(frozenset({1, 2}), 2)


def test_undecided_challenger_is_given_up_in_time() -> None:
    world = World(qualities={2: GOOD}, workers=[Worker("a", stopped=True)])
    world.run(100)
    state, _ = world.learner()
    late = world.now + int(QUICK.stage_hours * 3_600_000) + 1
    action = plan(state, QUICK, late, DECIDING)
    world.apply(action, state)  # type: ignore[arg-type]
    assert "undecided after 48 hours" in world.known[2].verdicts[-1].reason
    world.run(20)
    assert world.roles().challenger is None
    assert world.settled() or world.loaded == {1}


def challenged() -> tuple[World, State]:
    """A world in which version 2 was just put in shadow."""
    for ticks in range(1, 100):
        world = World(qualities={2: GOOD}, workers=[Worker("a")])
        world.run(ticks)
        if world.roles().challenger is not None:
            return world, world.learner()[0]
    raise AssertionError("version 2 is never put in shadow")


def test_comparison_begins_when_no_worker_lacks_vectors() -> None:
    world, state = challenged()
    ready = ModelAck(worker="a", behind=state.end, ts=world.now, champion=named(1), challenger=named(2))
    state.take_ack(msgspec.structs.replace(ready, lacking=3))
    assert plan(state, QUICK, world.now, DECIDING) is None
    state.take_ack(msgspec.structs.replace(ready, behind=state.end - 1))
    assert plan(state, QUICK, world.now, DECIDING) is None
    state.take_ack(ready)
    action = plan(state, QUICK, world.now, DECIDING)
    assert isinstance(action, AddVerdict)
    assert action.verdict.event == "shadow"


def test_worker_that_stopped_is_not_waited_for_and_its_lists_count() -> None:
    _, state = challenged()
    gone = ModelAck(worker="b", behind=0, ts=1_000_000_000, challenger=named(2), shown=7)
    state.take_ack(gone)
    state.take_ack(msgspec.structs.replace(gone, shown=3))  # it started again
    assert state.shown() == 10
    assert not state.followed(QUICK, gone.ts)
    state.take_end("b")
    assert state.shown() == 10
    assert state.followed(QUICK, gone.ts)
    state.take_end("b")
    assert state.shown() == 10


def test_challenger_that_the_server_cannot_load_again_is_withdrawn() -> None:
    world, state = challenged()
    world.loaded = {1}
    world.refresh(state)
    state.take_failure("load 2", "a NaN in its adapter", world.now, final=True)
    action = plan(state, QUICK, world.now, DECIDING)
    assert isinstance(action, AddVerdict)
    assert (action.verdict.event, action.verdict.reason) == ("rejected", "a NaN in its adapter")


def test_undecided_challenger_makes_room_for_a_newer_version() -> None:
    world, state = challenged()
    state.growth = Growth(likes=QUICK.stale_likes + 1, full=0)
    action = plan(state, QUICK, world.now, DECIDING)
    assert isinstance(action, AddVerdict)
    assert "newer likes" in action.verdict.reason


def test_role_given_by_hand_is_followed() -> None:
    world = World(qualities={2: GOOD}, most_versions=0)
    world.run(20)
    world._apply(Train("full", 1, 2), State())
    world._gates(2, "quality", passed=True)
    world.placed |= {2}
    world._load({1, 2})
    world._publish(
        ModelStatus(model="scorer", version=named(2), role=Role.CHAMPION, ts=world.now, number=2, reason="by hand")
    )
    world.run(60)
    assert world.settled()
    assert world.events(1) == ["retired"]


def test_failed_action_waits_longer_each_time() -> None:
    world = World(most_versions=0)
    world.run(20)
    state, _ = world.learner()
    action = plan(state, QUICK, world.now)
    assert isinstance(action, Train)
    waits = []
    for _ in range(12):
        state.take_failure("train full", "no memory", world.now, final=False)
        waits.append(state.failures["train full"].until - world.now)
        assert plan(state, QUICK, world.now) is None
    assert waits[:3] == [5_000, 10_000, 20_000]
    assert max(waits) == 600_000
    assert plan(state, QUICK, world.now + 600_000) == action


def drifting(world: World, *, likes: int = 10, drifts: bool = True) -> State:
    state, _ = world.learner()
    state.growth = Growth(likes=likes, full=likes)
    state.drift = (Finding("hit_ratio", -0.1, -0.2, -0.05, drifts, "fell"),)
    return state


def test_drift_starts_a_training_with_enough_likes() -> None:
    world = World(most_versions=0)
    world.run(20)
    rules = msgspec.structs.replace(QUICK, drift_minutes=1.0)
    assert plan(drifting(world), rules, world.now) == Train("full", 1, 2)
    assert plan(drifting(world, drifts=False), rules, world.now) is None
    assert plan(drifting(world, likes=9), rules, world.now) is None


def test_drift_that_stays_starts_one_training_in_its_interval() -> None:
    rules = msgspec.structs.replace(QUICK, drift_minutes=30.0)
    world = World(qualities={2: BAD}, rules=rules)
    world.run(900)
    assert world.events(2)[-1] == "rejected"
    record = world.known[2].record
    assert record is not None
    state = drifting(world)
    assert plan(state, rules, record.made_ms + 30 * 60_000 - 1) is None
    assert plan(state, rules, record.made_ms + 30 * 60_000) == Train("full", 1, 3)


def test_first_record_names_what_is_served_before_anything_is_loaded() -> None:
    world = World()
    world.run(200)
    kinds = [type(action) for action in world.done]
    assert kinds.index(Publish) < kinds.index(Load)
    assert world.models[0].version == named(1)
    assert Remove not in kinds[: kinds.index(Publish)]


def test_newest_version_is_the_candidate_and_stages_have_names() -> None:
    world = World(qualities={2: Quality(gates=False)})
    world.run(100)
    state, _ = world.learner()
    assert candidate(state) is None
    assert stage(state, 2) == "rejected"
    assert stage(state, 1) == "champion"
    state.versions[3] = Known(record=msgspec.structs.replace(state.versions[2].record, number=3, name=named(3)))  # type: ignore[type-var]
    assert candidate(state) == state.versions[3].record
    assert stage(state, 3) == "made"
