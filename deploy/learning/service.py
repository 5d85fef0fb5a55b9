"""`ouzel learn` as a service: read what happens, plan the next step, carry it out, until cancelled.

Reading and acting are two tasks on one state. A step may take minutes (a training), and comparisons are read meanwhile;
only the next step waits.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from deploy.errors import expected
from deploy.learning.executor import Executor
from deploy.learning.metrics import LearnerMetrics
from deploy.learning.ports import Channel, Parts
from inference.versions.lifecycle import plan
from inference.versions.rules import Rules
from inference.versions.state import Growth, State
from inference.versions.store import Kind, Learned, VersionStore
from streams.clock import Clock

LOOK_SECONDS = 1.0
"""The pause between two looks at the state while there is nothing to do."""

SERVER_SECONDS, GROWTH_SECONDS = 5.0, 10.0
"""How often the server and the training log are asked while there is nothing to do."""


class Service:
    """The loop. `run` restores the state, and returns only when cancelled."""

    def __init__(
        self,
        store: VersionStore,
        channel: Channel,
        parts: Parts,
        *,
        rules: Rules,
        clock: Clock,
        tell: Callable[[str], None],
        metrics: LearnerMetrics | None = None,
    ) -> None:
        self.state = State()
        self._store = store
        self._channel = channel
        self._parts = parts
        self._rules = rules
        self._clock = clock
        self._tell = tell
        self._metrics = metrics if metrics is not None else LearnerMetrics()
        self._executor = Executor(
            store, channel, parts.server, makers=parts.makers, clock=clock, tell=tell, metrics=self._metrics
        )

    async def run(self) -> None:
        if cleared := self._store.clear_unfinished():
            self._tell(f"deleted {cleared} unfinished versions of a learner that was killed")
        await self._channel.catch_up(self.state, self._rules)
        self._executor.read_store(self.state)
        await self._channel.compared_since(self.state.stage_began())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._act())

    async def _follow(self) -> None:
        async with aclosing(self._channel.follow(self.state, self._rules)) as batches:
            async for _ in batches:
                self._metrics.show(self.state, self._rules, self._clock.now_ms())

    async def _act(self) -> None:
        asked_server = asked_log = -float("inf")
        told = ""
        while True:
            now = self._clock.monotonic()
            try:
                if now - asked_server >= SERVER_SECONDS:
                    await self._executor.refresh(self.state)
                    asked_server = now
                if now - asked_log >= GROWTH_SECONDS:
                    self.state.growth = await self._growth()
                    await self._watch_champion()
                    asked_log = now
                told = ""
            except Exception as error:
                reason = expected(error)
                if reason is None:
                    raise
                if reason != told:
                    self._tell(f"waiting: {reason}")
                    told = reason
                await self._clock.sleep(SERVER_SECONDS)
                continue
            self._metrics.show(self.state, self._rules, self._clock.now_ms())
            action = plan(self.state, self._rules, self._clock.now_ms())
            if action is None:
                await self._clock.sleep(LOOK_SECONDS)
                continue
            await self._executor.carry_out(action, self.state)
            asked_server = self._clock.monotonic()
            asked_log = -float("inf")

    async def _watch_champion(self) -> None:
        """Measure the champion's drift; tells when a measure begins to drift, and when it no longer does."""
        champion, before = self.state.lineup.champion, {each.measure for each in self.state.drift if each.drifted}
        if self._parts.watch is None or champion is None:
            return
        drift = await self._parts.watch.drift(champion, self._rules)
        self.state.drift = tuple(drift.findings(self._rules))
        self._metrics.show_drift(drift.lists, self.state.drift)
        for each in self.state.drift:
            if each.drifted != (each.measure in before):
                state = "drifts" if each.drifted else "no longer drifts"
                self._tell(f"version {champion.number} {state}: {each.measure.replace('_', ' ')}: {each.text}")

    async def _growth(self) -> Growth:
        return Growth(
            likes=await self._parts.log.likes(self._learned(None)),
            full=await self._parts.log.likes(self._learned("full")),
        )

    def _learned(self, kind: Kind | None) -> tuple[Learned, ...]:
        newest = self.state.newest(kind)
        return newest.learned if newest is not None else ()
