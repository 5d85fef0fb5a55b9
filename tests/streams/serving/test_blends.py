"""Workers that share what their partitions learned: each worker is a `Blends` here, the topic a list of records."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from schemas.blends import BlendPart, LearnedSignal
from schemas.codec import encode
from schemas.errors import Refused
from schemas.topics import BLENDS
from streams.candidates.registry import BUILT_IN_COLUMNS as COLUMNS
from streams.clock import SYSTEM, Clock
from streams.errors import StoreFailed
from streams.fold.context import digest
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from streams.ranking.blend import Blend, Remembered, learn
from streams.ranking.modifiers import MODIFIERS
from streams.serving import blends as module
from streams.serving.blends import AGAIN_SECONDS, Blends
from tests.support.listing import MemoryState

N = 20
MARKS = np.array([digest(f"i{n}") for n in range(N)], np.uint64)
FOUR = 4


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    topic: str = BLENDS.name
    partition: int = 0
    offset: int = 0


@dataclass
class Topic:
    """Records in order, and the workers that follow them, each as far as it has read."""

    records: list[Output] = field(default_factory=list)
    read: dict[int, int] = field(default_factory=dict)

    def deliver(self, *workers: Blends) -> None:
        """Have the workers read everything."""
        for worker in workers:
            for record in self.records[self.read.get(id(worker), 0) :]:
                assert record.key is not None
                worker.apply(0, record.key, record.value)
            self.read[id(worker)] = len(self.records)

    def publish(self, *workers: Blends) -> int:
        """Have the workers publish what is due, and all read it; how many records that were."""
        before = len(self.records)
        for worker in workers:
            for scene in worker.scenes():
                self.records += worker.due(scene)
        self.deliver(*workers)
        return len(self.records) - before


def a_worker(*states: MemoryState, partitions: int = FOUR, clock: Clock = SYSTEM) -> Blends:
    worker = Blends(COLUMNS, Metrics(), clock, partitions=lambda: partitions)
    for state in states:
        worker.assign(state)
    return worker


def offered(rng: np.random.Generator) -> Remembered:
    signals = rng.normal(size=(N, len(COLUMNS))).astype(np.float16)
    modifiers = rng.uniform(-1, 1, (N, len(MODIFIERS))).astype(np.float16)
    return Remembered(MARKS, signals, modifiers, None)


RNG = np.random.default_rng(1)
LISTS = [(offered(RNG), f"i{RNG.integers(N)}") for _ in range(40)]


def teach(worker: Blends, partition: int, lists: Sequence[tuple[Remembered, str]], scene: str = "home") -> None:
    for list_, taken in lists:
        worker.learn(partition, scene, list_, taken)


def numbers(blend: Blend) -> np.ndarray:
    return np.array([*blend.weights, *blend.squares, blend.lists, *(each for row in blend.slopes for each in row)])


def agree(*workers: Blends, scene: str = "home") -> bool:
    first, *others = (numbers(worker.blend(scene)) for worker in workers)
    return all(np.allclose(first, other, rtol=1e-9) for other in others)


def test_worker_whose_users_like_nothing_has_the_others_weights() -> None:
    topic, liked, idle = Topic(), a_worker(MemoryState(0)), a_worker(MemoryState(1))
    prior = idle.blend("home")
    teach(liked, 0, LISTS)
    assert numbers(idle.blend("home")) == pytest.approx(numbers(prior))
    assert topic.publish(liked, idle) == 1
    assert idle.blend("home").lists == len(LISTS)
    assert agree(liked, idle)
    assert idle.lists() == (0, len(LISTS))


def test_worker_with_all_partitions_learns_as_one_blend() -> None:
    worker, alone = a_worker(*(MemoryState(each) for each in range(FOUR)), partitions=FOUR), Blend()
    topic = Topic()
    for at, (list_, taken) in enumerate(LISTS):
        teach(worker, at % FOUR, [(list_, taken)])
        topic.publish(worker)
        alone = learn(alone, list_, taken)
    assert numbers(worker.blend("home")) == pytest.approx(numbers(alone), rel=1e-9)


def test_scenes_are_learned_apart() -> None:
    worker = a_worker(MemoryState(0))
    teach(worker, 0, LISTS[:3], "home")
    assert (worker.blend("home").lists, worker.blend("cart").lists) == (3, 0)


def test_part_that_is_on_the_topic_is_not_published_again() -> None:
    topic, worker = Topic(), a_worker(MemoryState(0), MemoryState(1))
    teach(worker, 0, LISTS[:2])
    assert topic.publish(worker) == 1
    assert topic.publish(worker) == 0
    assert worker.scenes() == []
    teach(worker, 1, LISTS[:1])
    assert topic.publish(worker) == 1
    assert {record.key for record in topic.records} == {b"0:home", b"1:home"}


def test_part_that_is_not_read_back_is_published_again_after_a_while() -> None:
    now = [0.0]
    worker = a_worker(MemoryState(0), clock=Clock(now_ms=lambda: 0, monotonic=lambda: now[0]))
    teach(worker, 0, LISTS[:2])
    assert [len(worker.due("home")) for _ in range(3)] == [1, 0, 0]
    worker.unsent()
    assert [len(worker.due("home")) for _ in range(2)] == [1, 0]
    now[0] += AGAIN_SECONDS
    assert worker.scenes() == ["home"]
    assert len(worker.due("home")) == 1
    teach(worker, 0, LISTS[:1])
    assert len(worker.due("home")) == 1


def test_restarted_worker_counts_nothing_twice() -> None:
    topic, state, other = Topic(), MemoryState(0), a_worker(MemoryState(1))
    worker = a_worker(state)
    teach(worker, 0, LISTS[:10])
    topic.publish(worker, other)
    teach(worker, 0, LISTS[10:15])  # durable, and not published
    before = worker.blend("home")
    again = a_worker(state)
    topic.deliver(again)
    assert numbers(again.blend("home")) == pytest.approx(numbers(before))
    assert again.blend("home").lists == 15
    assert topic.publish(again, other) == 1
    assert agree(again, other)
    assert topic.publish(again, other) == 0


def test_partition_that_moves_back_and_forth_counts_once() -> None:
    topic, first, second = Topic(), a_worker(MemoryState(0)), a_worker(MemoryState(1))
    moving = MemoryState(2)
    for turn in range(4):
        owner, other = (first, second) if turn % 2 else (second, first)
        owner.assign(moving)
        teach(owner, 2, LISTS[turn * 5 : turn * 5 + 5])
        topic.publish(owner, other)
        assert agree(first, second)
        assert first.blend("home").lists == 5 * turn + 5
        teach(owner, 2, LISTS[30:31])
        moving.parts["home"] = msgspec.structs.replace(moving.parts["home"], lists=5 * turn + 5)  # as if never learned
        owner.revoke(2)
        assert owner.blend("home").lists == 5 * turn + 5


def test_state_that_is_lost_is_forgotten_by_all() -> None:
    topic, worker, other = Topic(), a_worker(MemoryState(0), MemoryState(3)), a_worker(MemoryState(1))
    teach(worker, 0, LISTS[:10])
    teach(worker, 3, LISTS[10:13])
    topic.publish(worker, other)
    worker.revoke(0)
    worker.assign(MemoryState(0))
    assert worker.blend("home").lists == 3
    assert topic.publish(worker, other) == 1
    assert topic.records[-1] == Output(BLENDS.name, b"0:home", None)
    assert agree(worker, other)
    assert other.blend("home").lists == 3


def test_recreated_topic_gets_every_part_again() -> None:
    topic, workers = Topic(), [a_worker(MemoryState(0)), a_worker(MemoryState(1))]
    for at, worker in enumerate(workers):
        teach(worker, at, LISTS[at * 5 : at * 5 + 5])
    topic.publish(*workers)
    new = Topic()
    for worker in workers:
        worker.restarted()
    assert agree(*workers)
    assert workers[0].blend("home").lists == 10  # what the others learned is known from before
    late = a_worker(MemoryState(2))
    assert new.publish(*workers, late) == 2
    assert agree(*workers, late)


def test_record_of_an_old_owner_is_replaced() -> None:
    topic, worker, other = Topic(), a_worker(MemoryState(0)), a_worker(MemoryState(1))
    teach(worker, 0, LISTS[:5])
    topic.publish(worker, other)
    stale = a_worker(MemoryState(0))
    teach(stale, 0, LISTS[5:7])
    topic.records += stale.due("home")
    topic.deliver(worker, other)
    assert worker.blend("home").lists == 5
    assert topic.publish(worker, other) == 1
    assert agree(worker, other)


def test_part_of_a_partition_that_is_no_longer_there_is_left_out() -> None:
    topic, gone, worker = Topic(), a_worker(MemoryState(7), partitions=8), a_worker(MemoryState(0))
    teach(gone, 7, LISTS[:5])
    topic.publish(gone, worker)
    assert worker.blend("home").lists == 0


def test_blends_of_older_workers_are_carried_over_and_stored() -> None:
    old = Blend()
    for list_, taken in LISTS:
        old = learn(old, list_, taken)
    states = [MemoryState(each, blends={"home": old}) for each in range(FOUR)]
    topic, workers = Topic(), [a_worker(state) for state in states]
    for worker in workers:
        worker.blend("home")
    assert topic.publish(*workers) == FOUR
    assert agree(*workers)
    blend = workers[0].blend("home")
    assert np.array(blend.weights) == pytest.approx(np.array(old.weights))
    assert blend.lists == FOUR * old.lists
    assert {state.parts["home"].lists for state in states} == {old.lists}
    again = a_worker(*states)
    assert agree(again, workers[0])
    topic.deliver(again)
    assert topic.publish(again) == 0


PART = BlendPart(
    id="2:home",
    partition=2,
    scene="home",
    lists=3,
    modifiers=("user_events",),
    signals={"trend": LearnedSignal(0.5, 1.0, (0.1,), (1.0,))},
)


def changed(**fields: object) -> bytes:
    return encode(msgspec.structs.replace(PART, **fields))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"2:home", b""),
        (b"2:home", b"\xc1"),
        (b"2:home", b"{}"),
        (b"2:home", changed(partition=3)),
        (b"2:home", changed(scene="cart")),
        (b"2:home", changed(id="x")),
        (b"3:home", encode(PART)),
        (b"junk", encode(PART)),
        (b"\xff", None),
        (b"", None),
        (b"2:home", changed(advantage=float("nan"))),
        (b"2:home", changed(lists=-1)),
        (b"2:home", changed(signals={"trend": LearnedSignal(float("inf"), 1.0, (0.1,), (1.0,))})),
        (b"2:home", changed(signals={"trend": LearnedSignal(0.1, -1.0, (0.1,), (1.0,))})),
        (b"2:home", changed(signals={"trend": LearnedSignal(0.1, 1.0, (), ())})),
        (b"2:home", changed(signals={f"s{n}": LearnedSignal(0.1, 1.0, (0.1,), (1.0,)) for n in range(33)})),
        (b"2:home", encode(PART).replace(b"\xa1v\x01", b"\xa1v\x02")),
    ],
)
def test_record_that_cannot_be_used_changes_nothing_and_is_counted(
    key: bytes, value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    worker = Blends(COLUMNS, metrics, SYSTEM)
    worker.apply(0, b"2:home", encode(PART))
    before = worker.blend("home")
    with pytest.raises(Refused) as refused:
        worker.apply(0, key, value)
    worker.refuse(Record(key, value), refused.value)
    assert worker.blend("home") == before
    assert before.lists == 3
    assert metrics.registry.get_sample_value("ouzel_refused_blend_parts_total") == 1
    assert "ouzel.blends" in caplog.text


def test_record_without_a_key_is_counted() -> None:
    worker = a_worker(MemoryState(0))
    worker.refuse(Record(None, b"x"), ValueError())
    assert worker._metrics.registry.get_sample_value("ouzel_refused_blend_parts_total") == 1


def test_damaged_record_of_our_partition_is_published_again() -> None:
    topic, worker = Topic(), a_worker(MemoryState(0))
    teach(worker, 0, LISTS[:5])
    topic.publish(worker)
    worker.refuse(Record(b"0:home", b"\xc1"), ValueError())
    assert topic.publish(worker) == 1


def test_huge_numbers_leave_the_blend_within_its_bounds_until_they_are_replaced() -> None:
    worker, state = Blends(COLUMNS, Metrics(), SYSTEM, lambda: FOUR), MemoryState(0)
    worker.assign(state)
    teach(worker, 0, LISTS[:5])
    before = worker.blend("home")
    hostile = LearnedSignal(1e30, 1e30, (1e30,), (1e30,))
    worker.apply(0, b"2:home", changed(signals={"trend": hostile}, lists=2**53, heard=2**53, advantage=1e30))
    blend = worker.blend("home")
    assert max(blend.weights) == 4.0
    assert np.isfinite(numbers(blend)).all()
    teach(worker, 0, LISTS[5:10])
    assert msgspec.msgpack.decode(encode(state.parts["home"]), type=BlendPart) == state.parts["home"]
    worker.apply(0, b"2:home", None)
    assert worker.blend("home").lists == 10
    assert numbers(worker.blend("home"))[: len(COLUMNS)] == pytest.approx(numbers(before)[: len(COLUMNS)], abs=0.3)


def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PARTS", 3)
    worker = a_worker(MemoryState(0))
    for number in range(3):
        worker.apply(0, f"{number + 1}:home".encode(), changed(id=f"{number + 1}:home", partition=number + 1))
    with pytest.raises(Refused, match="more than 3 parts"):
        worker.apply(0, b"5:home", changed(id="5:home", partition=5))
    worker.apply(0, b"2:home", encode(PART))  # one that is held is replaced
    teach(worker, 0, LISTS[:3])
    assert worker.due("home") == []  # the others would refuse it
    worker.apply(0, b"3:home", None)
    assert worker.parts == 2
    worker.apply(0, b"5:home", changed(id="5:home", partition=5))
    assert worker.parts == 3


def test_scenes_that_are_held_are_bounded_and_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SCENES", 2)
    worker = a_worker(MemoryState(0))
    for number in range(5):
        teach(worker, 0, LISTS[: number + 1], f"scene-{number}")
    assert [worker.blend(f"scene-{number}").lists for number in range(5)] == [1, 2, 3, 4, 5]
    assert len(worker._scenes) == 2


def test_state_that_fails_leaves_the_other_partitions_their_lists(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryState):
        def part(self, scene: str) -> BlendPart | None:
            raise StoreFailed("the state is damaged")

    state, broken = MemoryState(0), Broken(1)
    worker = a_worker(state, broken)
    teach(worker, 0, LISTS[:3])
    teach(worker, 1, LISTS[:3])
    assert worker.blend("home").lists == 3
    assert "partition 1" in caplog.text


@pytest.mark.parametrize("share", [True, False])
def test_steps_foresee_the_other_partitions_only_while_the_topic_is_there(share: bool) -> None:
    worker, alone = a_worker(MemoryState(0)), a_worker(MemoryState(0), partitions=1)
    if share:
        worker.due("home")
    teach(worker, 0, LISTS)
    teach(alone, 0, LISTS)
    assert agree(worker, alone) is not share


def test_partition_that_is_not_ours_learns_nothing() -> None:
    state = MemoryState(0)
    worker = a_worker(state)
    teach(worker, 1, LISTS[:3])
    worker.revoke(0)
    teach(worker, 0, LISTS[:3])
    assert state.parts == {}
    assert worker.blend("home").lists == 0
