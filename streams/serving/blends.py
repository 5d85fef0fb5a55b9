"""The blends of one worker: what all partitions learned, each by itself, put together (`streams.ranking.parts`).

What this worker's own partitions learned comes from their state alone, what the others learned from `ouzel.blends`
alone: nothing counts twice, whichever way partitions move and whatever is on the topic. `due` compares the two, and
publishes where the topic differs from the state, so the topic follows the state after a crash too, or if the topic was
recreated, a record was damaged, or a state was lost.

Memory: 1.7 KiB a part, at most `MOST_PARTS` of other partitions, and those of this worker's partitions in
`MOST_SCENES` scenes.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from schemas.blends import BlendPart, check_part, part_id, part_of_key
from schemas.codec import decode, encode
from schemas.errors import Refusal, Refused
from schemas.topics import BLENDS
from streams.candidates.registry import Columns
from streams.clock import Clock
from streams.dead_letters import Placed
from streams.errors import StoreFailed
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.ranking.blend import Blend, Remembered, learn
from streams.ranking.parts import (
    Learned,
    carried_over,
    combined,
    foreseen,
    learned_of,
    nothing,
    part_of,
    same,
    stepped,
)
from streams.state.fifo_cache import FifoCache

log = logging.getLogger(__name__)

MOST_PARTS = 20_000
"""Parts of other partitions that are held; further ones are refused."""

MOST_SCENES = 256
"""Scenes whose blends are held; the oldest is read again from the state when it is needed."""

AGAIN_SECONDS = 30.0
"""A part that was published and has not been read back is published again after this time."""


class Learning(Protocol):
    """The parts of a partition's state that its blends need."""

    partition: int

    @property
    def open(self) -> bool: ...
    def part(self, scene: str) -> BlendPart | None: ...
    def blend(self, scene: str) -> Blend | None: ...
    def set_part(self, scene: str, part: BlendPart) -> None: ...


@dataclass
class _Scene:
    """What this worker's partitions learned in one scene, and the blend of all partitions until one of them learns."""

    own: dict[int, Learned] = field(default_factory=dict)
    blend: Blend | None = None


class Blends:
    """`partitions` returns how many partitions `ouzel.events` has, None if unknown."""

    def __init__(
        self, columns: Columns, metrics: Metrics, clock: Clock, partitions: Callable[[], int | None] = lambda: None
    ) -> None:
        self._columns = columns
        self._metrics = metrics
        self._clock = clock
        self._partitions = partitions
        self._states: dict[int, Learning] = {}
        self._scenes: FifoCache[str, _Scene] = FifoCache(MOST_SCENES)
        self._read: dict[str, dict[int, Learned]] = {}
        """The parts on the topic, those of this worker's partitions too, by scene and partition."""
        self.parts = 0
        """How many there are."""
        self._unchecked: set[str] = set()
        """Scenes in which the topic may have something else than this worker's partitions learned."""
        self._sent: dict[tuple[str, int], tuple[Learned | None, float]] = {}
        """What was published last, and when, until it is read back."""
        self._shares = False
        self._lines = RateLimitedLog(log, clock.monotonic)

    def assign(self, state: Learning) -> None:
        """A partition is ours now: what it learned comes from its state."""
        self._states[state.partition] = state
        self._unchecked.update(scene for scene, read in self._read.items() if state.partition in read)
        self._forget()

    def revoke(self, partition: int) -> None:
        """A partition is no longer ours: what it learned comes from the topic."""
        self._states.pop(partition, None)
        self._forget()

    def blend(self, scene: str) -> Blend:
        """The blend of all partitions, with a weight for each of this worker's signals."""
        return self._blend(scene, self._scene(scene))

    def learn(self, partition: int, scene: str, list_: Remembered, taken: str) -> None:
        """Take the step after a like of `taken` about a list of one of this worker's partitions."""
        state, held = self._states.get(partition), self._scene(scene)
        if state is None or partition not in held.own:
            return
        before, others = self._blend(scene, held), self._others_for_each()
        if others > 0.0:
            read = self._read.get(scene, {})
            unpublished = [(learned, read.get(each)) for each, learned in held.own.items()]
            ahead = foreseen(unpublished, others, self._columns)
            before = combined([*self._parts(scene, held), ahead], self._columns)
        after = learn(before, list_, taken)
        if after is before:
            return
        learned = stepped(held.own[partition], before, after)
        state.set_part(scene, part_of(learned, self._columns, partition, scene))
        held.own[partition], held.blend = learned, None
        self._unchecked.add(scene)

    # The topic.

    def apply(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """Apply a record of `ouzel.blends`. Raises `Refused` for one that cannot be used: see `refuse`."""
        partition, scene = part_of_key(key)
        if value is None:
            self._drop(partition, scene)
            return
        part = decode(BlendPart, value)
        check_part(part, key)
        new = partition not in self._read.get(scene, {})
        if new and self.parts >= MOST_PARTS:
            raise Refused(Refusal.FAILED, f"there are more than {MOST_PARTS:,} parts: use fewer scenes")
        self.parts += new
        self._read.setdefault(scene, {})[partition] = learned_of(part, self._columns)
        self._changed(partition, scene)

    def refuse(self, record: Placed, error: Exception) -> None:
        """Count a record that cannot be used. What the topic has of one of our partitions is then published again."""
        self._metrics.refused_parts.inc()
        what = str(error) if isinstance(error, Refused) else type(error).__name__
        self._lines.warning("refused", f"{BLENDS.name}: a record is left out ({what})")
        try:
            partition, scene = part_of_key(record.key or b"")
        except Refused:
            return
        if partition in self._states:
            self._drop(partition, scene)

    def restarted(self) -> None:
        """The topic is read from its start again; it may be another one, which lacks the parts of our partitions."""
        for scene, read in list(self._read.items()):
            for partition in read.keys() & self._states.keys():
                self._drop(partition, scene)
        self._unchecked.update(self._scenes)
        self._sent.clear()

    def scenes(self) -> list[str]:
        """The scenes of which something may be due."""
        return sorted(self._unchecked)

    def due(self, scene: str) -> list[Output]:
        """The records to publish: what this worker's partitions learned in a scene, where the topic has something
        else. Call once the topic is read to its end."""
        self._shares = True
        held = self._scene(scene)
        self._unchecked.discard(scene)
        outputs, now, read = [], self._clock.monotonic(), self._read.get(scene, {})
        for partition, learned in held.own.items():
            wanted, there = learned if learned.lists else None, read.get(partition)
            if wanted is there or (wanted is not None and there is not None and same(wanted, there)):
                self._sent.pop((scene, partition), None)
                continue
            if there is None and self.parts >= MOST_PARTS:
                continue  # every worker would refuse it
            self._unchecked.add(scene)
            sent, at = self._sent.get((scene, partition), (None, float("-inf")))
            if sent is not wanted or now - at >= AGAIN_SECONDS:
                self._sent[scene, partition] = wanted, now
                value = None if wanted is None else encode(part_of(wanted, self._columns, partition, scene))
                outputs.append(Output(BLENDS.name, part_id(partition, scene).encode(), value))
        return outputs

    def unsent(self) -> None:
        """What was published last did not arrive, or not all of it: it is due again."""
        self._sent.clear()

    def lists(self) -> tuple[int, int]:
        """How many lists the blends of the scenes in use learned from: those of this worker's partitions, and all."""
        own = sum(learned.lists for held in self._scenes.values() for learned in held.own.values())
        return own, sum(self._blend(scene, held).lists for scene, held in self._scenes.items())

    def _forget(self) -> None:
        self._scenes.clear()
        self._sent.clear()

    def _scene(self, scene: str) -> _Scene:
        held = self._scenes.get(scene)
        if held is None:
            self._unchecked.add(scene)
            held = _Scene(dict(self._from_states(scene)))
            self._scenes.keep(scene, held)
        return held

    def _from_states(self, scene: str) -> Iterator[tuple[int, Learned]]:
        for partition, state in self._states.items():
            try:
                yield partition, self._from_state(state, scene)
            except StoreFailed as error:  # its lane starts over, and users of other partitions still get lists
                self._lines.error("state", f"What partition {partition} learned is left out: {error}")

    def _from_state(self, state: Learning, scene: str) -> Learned:
        """What a partition learned, for this worker's signals."""
        part, alone = state.part(scene), None
        if part is not None:
            learned, names = learned_of(part, self._columns), set(part.signals)
        else:
            alone = state.blend(scene)
            if alone is None or not alone.lists:
                return nothing(self._columns)
            partitions = self._partitions() or max(self._states) + 1
            learned, names = carried_over(alone, self._columns, partitions), set(alone.names)
        if names != set(self._columns.names):
            self._refitted(names, damaged=not learned.lists)
        if state.open and (alone is not None or names != set(self._columns.names)):
            state.set_part(scene, part_of(learned, self._columns, state.partition, scene))
        return learned

    def _refitted(self, names: set[str], *, damaged: bool) -> None:
        self._metrics.refitted_blends.inc()
        new, gone = set(self._columns.names) - names, names - set(self._columns.names)
        log.warning(
            "A scene's blend was learned with other signals; weights are matched by name. New, at priors: %s; "
            "dropped: %s.%s",
            ", ".join(sorted(new)) or "none",
            len(gone),  # not their names: they may come from a damaged record
            " It was damaged, and starts over." if damaged else "",
        )

    def _blend(self, scene: str, held: _Scene) -> Blend:
        if held.blend is None:
            held.blend = combined(self._parts(scene, held), self._columns)
        return held.blend

    def _parts(self, scene: str, held: _Scene) -> list[Learned]:
        """What each partition learned: ours by their state, the others by the topic."""
        most = self._partitions()
        others = (
            learned
            for partition, learned in self._read.get(scene, {}).items()
            if partition not in self._states and (most is None or partition < most)
        )
        return [*held.own.values(), *others]

    def _others_for_each(self) -> float:
        """How many partitions of other workers there are for each of ours."""
        most = self._partitions()
        return max(0, most - len(self._states)) / len(self._states) if self._shares and most else 0.0

    def _drop(self, partition: int, scene: str) -> None:
        read = self._read.get(scene, {})
        self.parts -= read.pop(partition, None) is not None
        if not read:
            self._read.pop(scene, None)
        self._changed(partition, scene)

    def _changed(self, partition: int, scene: str) -> None:
        """The topic has something else of a partition than before."""
        if partition in self._states:
            self._unchecked.add(scene)
            self._sent.pop((scene, partition), None)
        elif scene in self._scenes:
            self._scenes[scene].blend = None
