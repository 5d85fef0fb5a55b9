"""A world for the loop of versions: a store, a topic of roles, a server, workers and users, all in memory.

What is durable (store, topics, server, workers) is in `World`; a learner's `State` is only read from it, so it can be
thrown away at any moment, as by kill -9. Every action is checked against the promises that users rely on.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inference.versions.actions import (
    Action,
    AddVerdict,
    Judge,
    Load,
    Measure,
    Place,
    Publish,
    Remove,
    Train,
    name_of,
)
from inference.versions.lifecycle import DECIDING, STEPS, plan
from inference.versions.rules import Rules
from inference.versions.state import Growth, Known, Serving, State
from inference.versions.store import Gate, Version
from schemas.models import Comparison, Lineup, ModelAck, ModelStatus, Role

QUICK = Rules(
    margin=0.1, shadow_pairs=40, shadow_limit=4_000, canary_likes=100, canary_limit=2_000, share=0.5, full_likes=50,
    least_likes=10, items_minutes=0.0, items_likes=1_000_000,
)  # fmt: skip
TICK_MS = 1_000
LISTS_A_LIKE = 3
"""Lists that a user is shown for each like."""
AGREE = 0.69


@dataclass(frozen=True)
class Quality:
    """What is true of a version. `shadow` and `live` are its hit probabilities: where its order is only compared, and
    where users see it."""

    shadow: float = 0.3
    live: float = 0.3
    gates: bool = True
    measured: bool = True
    loads: bool = True


class Refuses(Exception):
    """The server cannot load this version, however often it is told to."""


@dataclass
class Worker:
    name: str
    lineup: Lineup = field(default_factory=Lineup)
    behind: int = 0
    lacking: int = 0
    shown: int = 0
    stopped: bool = False


def named(number: int) -> str:
    return f"version-{number}"


@dataclass
class World:
    """`qualities` are those of versions by number; the default is for all others."""

    seed: int = 0
    rules: Rules = QUICK
    qualities: Mapping[int, Quality] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=lambda: [Worker("a"), Worker("b")])
    likes_a_tick: int = 10
    now: int = 1_000_000
    known: dict[int, Known] = field(default_factory=dict)
    models: list[ModelStatus] = field(default_factory=list)
    acks: dict[str, ModelAck] = field(default_factory=dict)
    comparisons: list[tuple[Comparison, int]] = field(default_factory=list)
    loaded: set[int] = field(default_factory=lambda: {1})
    placed: set[int] = field(default_factory=lambda: {1})
    likes: int = 0
    learned: int = 0
    most_versions: int = 1
    trained: int = 0
    done: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def quality(self, number: int) -> Quality:
        return self.qualities.get(number, Quality())

    # The learner.

    def learner(self) -> tuple[State, int]:
        """A state that knows what can be read, and how many comparisons it has read."""
        state = State()
        for offset, status in enumerate(self.models):
            state.take_record(status, offset, self.rules)
        self.refresh(state)
        return state, self.compare(state, 0)

    def refresh(self, state: State) -> None:
        """What a learner reads again all the time."""
        for offset in range(state.end, len(self.models)):
            state.take_record(self.models[offset], offset, self.rules)
        for ack in self.acks.values():
            state.take_ack(ack)
        state.versions = dict(self.known)
        state.serving = Serving(
            loaded=frozenset(self.loaded), placed=frozenset(self.placed), name=named(min(self.loaded))
        )
        state.growth = Growth(likes=self.likes - self.learned, full=self.likes - self.learned)

    def compare(self, state: State, read: int) -> int:
        for comparison, logged in self.comparisons[read:]:
            state.take_comparison(comparison, logged)
        return len(self.comparisons)

    def run(self, ticks: int, *, kills: float = 0.0, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; with this probability a learner dies just before or just after an action took effect."""
        state, read = self.learner()
        for _ in range(ticks):
            if until():
                return
            self.tick()
            self.refresh(state)
            read = self.compare(state, read)
            training = self.trained < self.most_versions
            action = plan(state, self.rules, self.now, STEPS if training else DECIDING)
            if action is None:
                continue
            if self.random.random() < kills:
                if self.random.random() < 0.5:
                    self.apply(action, state)
                state, read = self.learner()
                continue
            self.apply(action, state)

    def apply(self, action: Action, state: State) -> None:
        """Carry out an action, and check that it was allowed."""
        self.done.append(action)
        try:
            self._apply(action, state)
        except Refuses as refused:
            state.take_failure(name_of(action), str(refused), self.now, final=True)

    def _apply(self, action: Action, state: State) -> None:
        match action:
            case Train(kind, parent, number):
                assert number not in self.known
                assert parent == self.roles().champion.number  # type: ignore[union-attr]
                self.trained += 1
                record = Version(number=number, name=named(number), parent=parent, kind=kind, made_ms=self.now,
                                 cut_ms=self.now, events=1, likes=1, tests=1)  # fmt: skip
                self.known[number] = Known(record=record)
                self.learned = self.likes
            case Judge(number):
                self._gates(number, "quality", passed=self.quality(number).gates)
            case Measure(number):
                assert number in self.loaded
                self._gates(number, "latency", passed=self.quality(number).measured)
                if self.quality(number).measured:
                    state.measured.add(number)
            case Place(number):
                self.placed.add(number)
            case Load(numbers):
                self._load(set(numbers))
            case Remove(number):
                assert number not in self.loaded
                assert number not in self.in_use()
                self.placed.discard(number)
            case Publish(status):
                self._publish(status)
            case AddVerdict(number, verdict):
                known = self.known.get(number, Known())
                self.known[number] = Known(record=known.record, gates=known.gates, verdicts=(*known.verdicts, verdict))

    def _gates(self, number: int, name: str, *, passed: bool) -> None:
        known = self.known[number]
        kept = tuple(gate for gate in known.gates if gate.name != name)
        gate = Gate(name=name, figure=0.0, threshold=0.0, passed=passed, text=f"{name} was measured")
        self.known[number] = Known(record=known.record, gates=(*kept, gate), verdicts=known.verdicts)

    def _load(self, numbers: set[int]) -> None:
        for number in numbers:
            assert number in self.placed, f"version {number} is not in the repository"
            known = self.known.get(number)
            if number not in self.loaded and number != 1:
                assert known is not None, f"version {number} is not in the store"
                assert known.record is not None, f"version {number} is not complete"
                assert known.gates, f"version {number} was not judged"
                assert all(gate.passed for gate in known.gates), f"version {number} failed a gate"
                if not self.quality(number).loads:
                    raise Refuses(f"version {number} has a NaN")
        dropped = self.loaded - numbers
        assert not dropped & self.in_use(), f"unloaded {dropped}, which workers use"
        champion = self.roles().champion
        assert champion is None or champion.number in numbers or champion.number not in self.loaded
        if len(numbers) > 1:
            assert champion is not None, "two versions are served, and requests name none"
            for worker in self.workers:
                assert worker.stopped or worker.lineup.champion is not None, "a worker does not name its version yet"
        self.loaded = numbers

    def _publish(self, status: ModelStatus) -> None:
        if status.role not in (Role.MADE, Role.RETIRED):
            assert status.number in self.loaded, f"version {status.number} got a role and is not loaded"
        before = self.roles()
        if status.role == Role.SHADOW:
            assert before.challenger is None, "two challengers"
        self.models.append(status)
        assert self.roles().champion is not None, "no champion"

    def roles(self) -> Lineup:
        lineup = Lineup()
        for status in self.models:
            lineup.take(status)
        return lineup

    def in_use(self) -> set[int]:
        """The versions that running workers ask for."""
        lineups = [worker.lineup for worker in self.workers if not worker.stopped]
        return {s.number for lineup in lineups for s in (lineup.champion, lineup.challenger) if s is not None}

    # Workers and users.

    def tick(self) -> None:
        self.now += TICK_MS
        self.likes += self.likes_a_tick
        for worker in self.workers:
            if worker.stopped:
                continue
            if self.random.random() < 0.4 and worker.behind < len(self.models):
                before = worker.lineup.challenger
                worker.lineup.take(self.models[worker.behind])
                worker.behind += 1
                challenger = worker.lineup.challenger
                if challenger is None or before is None or before.version != challenger.version:
                    worker.lacking, worker.shown = (5, 0) if challenger is not None else (0, 0)
            worker.lacking = max(0, worker.lacking - 2)
            for number in (s.number for s in (worker.lineup.champion, worker.lineup.challenger) if s is not None):
                assert number in self.loaded, f"worker {worker.name} asks for {number}, which is not loaded"
            self._serve(worker)
            champion, challenger = worker.lineup.champion, worker.lineup.challenger
            self.acks[worker.name] = ModelAck(
                worker=worker.name, behind=worker.behind, ts=self.now, lacking=worker.lacking, shown=worker.shown,
                champion=champion.version if champion else None,
                challenger=challenger.version if challenger else None,
            )  # fmt: skip

    def _serve(self, worker: Worker) -> None:
        champion, challenger = worker.lineup.champion, worker.lineup.challenger
        if champion is None or challenger is None or worker.lacking:
            return
        for _ in range(self.likes_a_tick // len(self.workers)):
            canary = challenger.role == Role.CANARY and self.random.random() < challenger.share
            worker.shown += LISTS_A_LIKE * canary
            hits = self._hits(champion.number, challenger.number, canary=canary)
            given = Comparison(
                id=str(len(self.comparisons)), list="l", scene="s", ts=self.now, champion=champion.version,
                challenger=challenger.version, champion_hit=hits[0], challenger_hit=hits[1], canary=canary,
            )  # fmt: skip
            self.comparisons += [(given, self.now)] * (2 if self.random.random() < 0.05 else 1)

    def _hits(self, champion: int, challenger: int, *, canary: bool) -> tuple[bool, bool]:
        """Whether the two orders have the liked item. Two versions with a hit ratio of .26 disagree on 12% of likes."""
        one = self.random.random()
        other = one if self.random.random() < AGREE else self.random.random()
        quality = self.quality(challenger)
        return one < self.quality(champion).shadow, other < (quality.live if canary else quality.shadow)

    # What tests look at.

    def settled(self) -> bool:
        """Whether one version is left, it is the champion, and every worker uses it alone."""
        roles = self.roles()
        assert roles.champion is not None
        return roles.challenger is None and self.loaded == self.in_use() == {roles.champion.number}

    def events(self, number: int) -> list[str]:
        return [verdict.event for verdict in self.known[number].verdicts]
