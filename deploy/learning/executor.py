"""Carry out the actions of the loop, and put what they did into the state."""

import logging
from collections.abc import Awaitable, Callable

from deploy.errors import DeployError, expected
from deploy.learning.metrics import LearnerMetrics
from deploy.learning.ports import Channel, Makers, Server, VersionRefused
from deploy.learning.store_facts import read_known
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
from inference.versions.state import State
from inference.versions.store import Gate, VersionStore
from schemas.models import ModelStatus
from streams.clock import Clock

log = logging.getLogger(__name__)

READ_BACK_SECONDS, POLL_SECONDS = 30.0, 0.05
"""How long a published record may take to be read back, and the pause between looks."""


class Executor:
    """Carries out one action at a time. `tell` gets one line for each thing that an operator would want to know."""

    def __init__(
        self,
        store: VersionStore,
        channel: Channel,
        server: Server,
        *,
        makers: Makers | None = None,
        clock: Clock,
        tell: Callable[[str], None],
        metrics: LearnerMetrics,
        read: Callable[[State], Awaitable[None]] | None = None,
    ) -> None:
        """Without `makers`, versions are neither made nor judged. `read` reads roles into a state; without it another
        task does (`Channel.follow`)."""
        self._store = store
        self._channel = channel
        self._server = server
        self._makers = makers
        self._read = read
        self._clock = clock
        self._tell = tell
        self._metrics = metrics
        self._unread: set[str] = set()

    @property
    def _made(self) -> Makers:
        assert self._makers is not None, "this learner only changes roles"
        return self._makers

    async def refresh(self, state: State) -> None:
        """Read the store and the server again. Raises the server's errors."""
        self.read_store(state)
        state.serving = await self._server.serving()

    def read_store(self, state: State) -> None:
        state.versions, unread = read_known(self._store)
        for text in set(unread) - self._unread:
            self._tell(text)
        self._unread |= set(unread)

    async def carry_out(self, action: Action, state: State) -> None:
        """Do it, or note in the state that it failed; only a cancellation is raised."""
        name = name_of(action)
        try:
            await self._do(action, state)
            await self.refresh(state)
        except Exception as error:
            final = isinstance(error, VersionRefused)
            reason = expected(error) or f"{type(error).__name__}: {error}"
            state.take_failure(name, reason, self._clock.now_ms(), final=final)
            self._metrics.failures.labels(name.partition(" ")[0]).inc()
            if expected(error) is None:
                log.exception("A bug in Ouzel stopped this step: %s", name)
            pause = "" if final else f"; next try in {self._seconds_left(state, name):,.0f} s"
            self._tell(f"{name}: {reason}{pause}")
        else:
            state.took_place(name)

    def _seconds_left(self, state: State, name: str) -> float:
        return max(0, state.failures[name].until - self._clock.now_ms()) / 1000

    async def _do(self, action: Action, state: State) -> None:
        match action:
            case Train(kind, parent, number):
                self._tell(f"version {number}: training ({kind}) from version {parent}")
                began = self._clock.monotonic()
                await self._made.trainer.train(kind, parent, number)
                seconds = self._clock.monotonic() - began
                self._metrics.trained(kind, seconds)
                self._tell(f"version {number}: trained in {seconds:,.0f} s")
            case Judge(number, champion):
                await self._gates(number, [], await self._made.gates.judge(number, champion))
            case Measure(number, champion):
                found = await self._made.gates.measure(number, champion)
                await self._gates(number, self._store.gates(number), found)
                if all(gate.passed for gate in found):
                    state.measured.add(number)
            case Place(number):
                await self._server.place(number)
            case Load(numbers):
                await self._server.load(numbers)
                self._tell(f"the server has loaded {_listed(numbers)}")
            case Remove(number):
                await self._server.remove(number)
            case Publish(status):
                await self.publish(status, state)
            case AddVerdict(number, verdict):
                self._store.add_verdict(number, verdict)
                self._metrics.verdicts.labels(verdict.event).inc()
                self._tell(f"version {number}: {verdict.event.replace('_', ' ')}: {verdict.reason}")

    async def _gates(self, number: int, before: list[Gate], found: list[Gate]) -> None:
        names = {gate.name for gate in found}
        self._store.set_gates(number, [*(gate for gate in before if gate.name not in names), *found])
        passed = sum(gate.passed for gate in found)
        self._tell(f"version {number}: passed {passed} of {len(found)} gates")

    async def publish(self, status: ModelStatus, state: State) -> None:
        """Publish a role, and return once the state has it."""
        offset = await self._channel.publish(status)
        deadline = self._clock.monotonic() + READ_BACK_SECONDS
        while state.end <= offset:
            if self._clock.monotonic() > deadline:
                raise DeployError(
                    f"the record of version {status.number} was published but not read back within "
                    f"{READ_BACK_SECONDS:g} s: check the brokers."
                )
            if self._read is None:
                await self._clock.sleep(POLL_SECONDS)
            else:
                await self._read(state)
        share = f" for {status.share:.0%} of users" if status.share else ""
        self._tell(f"version {status.number} is {status.role}{share}")


def _listed(numbers: frozenset[int]) -> str:
    named = " and ".join(map(str, sorted(numbers)))
    return f"version{'s' if len(numbers) > 1 else ''} {named}"
