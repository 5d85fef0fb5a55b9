"""The parts of a learner in memory: a log, a trainer, gates, a server, topics, and workers that follow them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from deploy.learning.ports import Makers, Parts, TrainingFailed, VersionRefused, Watch
from inference.versions.rules import Rules
from inference.versions.state import Serving, State
from inference.versions.store import Gate, Kind, Learned, Version, VersionStore
from schemas.models import Comparison, Lineup, ModelAck, ModelStatus, Role
from streams.clock import Clock
from tests.support.loop_world import QUICK, Quality, named


class FastClock:
    """A clock on which every sleep is over at once."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)

    @property
    def clock(self) -> Clock:
        return Clock(now_ms=lambda: int(self.seconds * 1000), monotonic=lambda: self.seconds, sleep=self.sleep)


@dataclass
class MemoryTopics:
    """The three topics; several channels may share them."""

    models: list[ModelStatus] = field(default_factory=list)
    acks: list[ModelAck] = field(default_factory=list)
    comparisons: list[tuple[Comparison, int]] = field(default_factory=list)


class MemoryChannel:
    """Implements `deploy.learning.ports.Channel`."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics
        self._read = [0, 0, len(topics.comparisons)]

    async def catch_up(self, state: State, rules: Rules) -> None:
        await asyncio.sleep(0)
        for offset in range(self._read[0], len(self._topics.models)):
            state.take_record(self._topics.models[offset], offset, rules)
        for ack in self._topics.acks[self._read[1] :]:
            state.take_ack(ack)
        self._read[:2] = len(self._topics.models), len(self._topics.acks)

    async def compared_since(self, ms: int | None) -> None:
        logged = [at for _, at in self._topics.comparisons]
        self._read[2] = len(logged) if ms is None else sum(at < ms for at in logged)

    async def follow(self, state: State, rules: Rules) -> AsyncGenerator[Sequence[Comparison], None]:
        while True:
            await self.catch_up(state, rules)
            new = self._topics.comparisons[self._read[2] :]
            self._read[2] += len(new)
            for comparison, logged in new:
                state.take_comparison(comparison, logged)
            yield [comparison for comparison, _ in new]

    async def publish(self, status: ModelStatus) -> int:
        self._topics.models.append(status)
        return len(self._topics.models) - 1


@dataclass
class MemoryLog:
    count: int = 0

    async def likes(self, learned: Sequence[Learned]) -> int:
        return self.count - sum(each.behind - each.first for each in learned)


@dataclass
class StoreTrainer:
    """Writes versions without parameters. Fails as often as `failures` says; `began` is set in each training, which
    never ends while `hangs`."""

    store: VersionStore
    log: MemoryLog
    clock: Clock
    failures: int = 0
    hangs: bool = False
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def train(self, kind: Kind, parent: int, number: int) -> None:
        self.began.set()
        with self.store.written(number) as folder:
            if self.hangs:
                await asyncio.Event().wait()
            if self.failures:
                self.failures -= 1
                raise TrainingFailed("the training was killed by signal 9")
            write_version(folder, number, parent, kind=kind, now=self.clock.now_ms(), likes=self.log.count)


def write_version(  # noqa: PLR0917
    folder: Path, number: int, parent: int = 1, kind: Kind = "full", now: int = 1, likes: int = 100
) -> None:
    learned = (Learned(topic="ouzel.feedback", partition=0, first=0, behind=likes),)
    record = Version(number=number, name=named(number), parent=parent, kind=kind, made_ms=now, cut_ms=now,
                     events=2 * likes, likes=likes, tests=20, learned=learned, seconds=12.0, cpu_seconds=20.0,
                     peak_mib=700.0)  # fmt: skip
    (folder / "version.json").write_bytes(msgspec.json.encode(record))


@dataclass
class QualityGates:
    qualities: Mapping[int, Quality]

    async def judge(self, number: int, champion: int) -> list[Gate]:
        passed = self.qualities.get(number, Quality()).gates
        return [Gate(name="next item", figure=0.3, threshold=0.2, passed=passed, text="HR@10 of .30 against .28.")]

    async def measure(self, number: int, champion: int) -> list[Gate]:
        passed = self.qualities.get(number, Quality()).measured
        return [Gate(name="p99", figure=40.0, threshold=50.0, passed=passed, text="40 ms against 38 ms.")]


@dataclass
class MemoryServer:
    qualities: Mapping[int, Quality]
    loaded: set[int] = field(default_factory=lambda: {1})
    placed: set[int] = field(default_factory=lambda: {1})
    away: int = 0

    async def serving(self) -> Serving:
        self._answer()
        return Serving(loaded=frozenset(self.loaded), placed=frozenset(self.placed), name=named(min(self.loaded)))

    async def place(self, number: int) -> None:
        self._answer()
        self.placed.add(number)

    async def load(self, numbers: frozenset[int]) -> None:
        self._answer()
        assert numbers <= self.placed
        refused = [number for number in numbers if not self.qualities.get(number, Quality()).loads]
        if refused:
            raise VersionRefused(f"version {refused[0]} has a NaN in its adapter.")
        self.loaded = set(numbers)

    async def remove(self, number: int) -> None:
        assert number not in self.loaded
        self.placed.discard(number)

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionRefusedError(111, "Connection refused")


@dataclass
class Workers:
    """Two workers that follow the topics at once; each look of theirs brings some likes."""

    topics: MemoryTopics
    log: MemoryLog
    server: MemoryServer
    clock: Clock
    qualities: Mapping[int, Quality]
    random: Random = field(default_factory=lambda: Random(1))

    async def run(self) -> None:
        lineups, behind, shown = [Lineup(), Lineup()], [0, 0], [0, 0]
        while True:
            await self.clock.sleep(0.5)
            self.log.count += 5
            for each in (0, 1):
                for status in self.topics.models[behind[each] :]:
                    lineups[each].take(status)
                behind[each] = len(self.topics.models)
                champion, challenger = lineups[each].champion, lineups[each].challenger
                for used in (champion, challenger):
                    assert used is None or used.number in self.server.loaded, "asks for what is not loaded"
                if champion is not None and challenger is not None:
                    shown[each] += sum(self._like(champion, challenger) for _ in range(5))
                self.topics.acks.append(
                    ModelAck(worker=f"worker-{each}", behind=behind[each], ts=self.clock.now_ms(), shown=shown[each],
                             champion=champion.version if champion else None,
                             challenger=challenger.version if challenger else None)
                )  # fmt: skip

    def _like(self, champion: ModelStatus, challenger: ModelStatus) -> bool:
        canary = challenger.role == Role.CANARY and self.random.random() < challenger.share
        hits = [self._hits(status.number, canary=canary) for status in (champion, challenger)]
        given = Comparison(id=str(len(self.topics.comparisons)), list="l", scene="s", ts=1, champion=champion.version,
                           challenger=challenger.version, champion_hit=hits[0], challenger_hit=hits[1],
                           canary=canary)  # fmt: skip
        self.topics.comparisons.append((given, self.clock.now_ms()))
        return canary

    def _hits(self, number: int, *, canary: bool) -> bool:
        quality = self.qualities.get(number, Quality())
        return self.random.random() < (quality.live if canary else quality.shadow)


@dataclass
class Bench:
    """Everything around a learner. `qualities` are those of versions by number."""

    store: VersionStore
    qualities: Mapping[int, Quality] = field(default_factory=dict)
    rules: Rules = QUICK
    watch: Watch | None = None

    def __post_init__(self) -> None:
        self.clock = FastClock().clock
        self.topics, self.log = MemoryTopics(), MemoryLog()
        self.server = MemoryServer(self.qualities)
        self.trainer = StoreTrainer(self.store, self.log, self.clock)
        self.workers = Workers(self.topics, self.log, self.server, self.clock, self.qualities)
        self.told: list[str] = []

    @property
    def parts(self) -> Parts:
        return Parts(self.log, Makers(self.trainer, QualityGates(self.qualities)), self.server, self.watch)

    def roles(self) -> Lineup:
        lineup = Lineup()
        for status in self.topics.models:
            lineup.take(status)
        return lineup
