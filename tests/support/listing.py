"""The list path with everything around it in memory: a partition's state, a catalogue, what is published."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import NotLeaderForPartitionError
from msgspec.structs import replace

from inference.scorers.scripted import ScriptedScorer
from schemas.blends import BlendPart
from schemas.codec import decode
from schemas.events import Event, EventKind
from schemas.models import Comparison
from schemas.recommendations import Recommendation
from schemas.topics import COMPARISONS, RECOMMENDATIONS
from streams.clock import SYSTEM, Clock
from streams.fold.attribution import NONE, Exposure, attribute
from streams.fold.context import EMPTY, Context, fold
from streams.fold.marking import UNKEYED, Marking
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend
from streams.ranking.exploration import NO_EXPLORATION
from streams.ranking.gain import Gain
from streams.ranking.settings import Ranking
from streams.serving.comparisons import Comparisons
from streams.serving.lists import Lists
from streams.serving.live_versions import LiveVersions
from streams.serving.watching import UNWATCHED, Watcher
from streams.settings import Settings
from streams.turns import Turns
from tests.support.patience import PATIENCE
from tests.support.pipeline import films
from tests.support.roles import record

PLAIN = Ranking(exploration=NO_EXPLORATION, compared=1)


@dataclass
class MemoryState:
    """A partition's state without a disk."""

    partition: int = 0
    base: int = 0
    open: bool = True
    marking: Marking = UNKEYED
    contexts: dict[str, Context] = field(default_factory=dict)
    exposures: dict[str, Exposure] = field(default_factory=dict)
    parts: dict[str, BlendPart] = field(default_factory=dict)
    blends: dict[str, Blend] = field(default_factory=dict)
    gains: dict[str, Gain] = field(default_factory=dict)
    versions: dict[str, list[str]] = field(default_factory=dict)
    sessions: Sessions | None = field(default_factory=lambda: Sessions(b"secret", alone=True))

    def context(self, user: str) -> Context:
        return self.contexts.get(user, EMPTY)

    def exposure(self, user: str) -> Exposure:
        return self.exposures.get(user, NONE)

    def part(self, scene: str) -> BlendPart | None:
        return self.parts.get(scene)

    def blend(self, scene: str) -> Blend | None:
        return self.blends.get(scene)

    def gain(self, scene: str) -> Gain:
        return self.gains.get(scene, Gain())

    def set_exposure(self, user: str, exposure: Exposure) -> None:
        self.exposures[user] = exposure

    def note_version(self, user: str, name: str) -> None:
        self.versions.setdefault(user, []).append(name)

    def note_alone(self) -> None:
        assert self.sessions is not None
        self.sessions = replace(self.sessions, alone=True)

    def set_part(self, scene: str, part: BlendPart) -> None:
        self.parts[scene] = part

    def set_gain(self, scene: str, gain: Gain) -> None:
        self.gains[scene] = gain


class Bench:
    """A list path with everything around it in memory."""

    def __init__(
        self,
        scorer: ScriptedScorer | None,
        *,
        ranking: Ranking = PLAIN,
        turns: Turns | None = None,
        clock: Clock = SYSTEM,
        watcher: Watcher = UNWATCHED,
        **settings: object,
    ) -> None:
        self.clock = clock
        self.sent: list[Output] = []
        self.metrics = Metrics()
        self.state = MemoryState()
        self.hold: asyncio.Event | None = None
        self.failures = 0
        self.offset = -1
        self.max_age_ms = Settings.make(**settings).lists.trigger_max_age_ms
        self.changed = asyncio.Event()
        catalogue = Catalogue()
        for film in films():
            catalogue.add(film)
        self.live = LiveVersions(catalogue, self.metrics, clock)
        self.comparisons = Comparisons(self.publish, exists=lambda: True, metrics=self.metrics, clock=clock)
        self.lists = Lists(
            settings=Settings.make(**settings),
            ranking=ranking,
            catalogue=catalogue,
            graph=ItemGraph(catalogue.index),
            scorer=scorer,
            publish=self.publish,
            metrics=self.metrics,
            clock=clock,
            turns=turns,
            live=self.live,
            comparisons=self.comparisons,
            watcher=watcher,
        )
        self.lists.assign(self.state)

    async def publish(self, outputs: Sequence[Output]) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            self.failures -= 1
            raise NotLeaderForPartitionError
        self.sent += outputs
        self.changed.set()

    async def described(self, scorer: ScriptedScorer) -> None:
        """Have every item described."""
        vectors = self.lists._catalogue.vectors
        while asked := vectors.next(40):
            items = [self.lists._catalogue.described(number) for number in asked]
            vectors.put(asked, await scorer.describe(items, timeout=1.0))

    async def read_by_all(self, scorer: ScriptedScorer) -> None:
        """Have every item described by every version in use."""
        catalogue = self.lists._catalogue
        for each in self.live.described():
            while asked := each.vectors.next(40):
                items = [catalogue.described(number) for number in asked]
                each.vectors.put(asked, await scorer.describe(items, timeout=1.0, number=each.number))
        self.live.look()

    def gives(self, role: str, number: int, *, share: float = 0.0, salt: str = "") -> None:
        """Read a record that gives version `number` a role."""
        self.live.apply(0, *record(role, number, share=share, salt=salt))

    def did(self, user: str, item: str, kind: EventKind = EventKind.LIKE, age_ms: int = 0) -> None:
        """Fold an event and tell the list path, as a lane does."""
        self.offset += 1
        event = Event(id=f"e{self.offset}", user=user, kind=kind, ts=self.clock.now_ms() - age_ms, item=item)
        self.state.contexts[user] = fold(self.state.context(user), event, self.offset, self.state.marking)
        before = self.state.exposure(user)
        exposure, _, judged = attribute(before, event, Settings().folding.attribution_window_ms)
        if exposure is not before:
            self.state.set_exposure(user, exposure)
        if judged is not None:
            self.lists.observe(0, judged, self.offset)
        if age_ms <= self.max_age_ms:
            self.lists.trigger(0, user, (event, self.offset, age_ms), self.clock.monotonic())

    def made(self, user: str | None = None) -> list[Recommendation]:
        made = [decode(Recommendation, out.value) for out in self.sent if out.topic == RECOMMENDATIONS.name]
        return [one for one in made if user is None or one.user == user]

    def compared(self) -> list[Comparison]:
        return [decode(Comparison, out.value) for out in self.sent if out.topic == COMPARISONS.name]

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self.lists.run(), self.comparisons.run()]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
