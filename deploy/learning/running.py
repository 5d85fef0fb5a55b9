"""Run `ouzel learn` and the steps of `ouzel models` with real brokers, until they end or are stopped."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from prometheus_client import start_http_server

from deploy.learning.by_hand import Desk
from deploy.learning.executor import Executor
from deploy.learning.kafka_channel import open_channel
from deploy.learning.metrics import LearnerMetrics
from deploy.learning.ports import Parts, Server
from deploy.learning.service import Service
from deploy.learning.store_facts import AnotherLearner, learning_alone, read_known
from deploy.local.priority import lower_priority
from inference.versions.rules import Rules
from inference.versions.state import State
from inference.versions.store import VersionStore
from streams.clock import Clock

Tell = Callable[[str], None]


async def serve(
    bootstrap: str,
    store: VersionStore,
    parts: AbstractAsyncContextManager[Parts],
    *,
    rules: Rules,
    connection: Mapping[str, Any],
    timeout: float,
    clock: Clock,
    tell: Tell,
    metrics_port: int | None = None,
    niceness: int = 0,
) -> None:
    """The service, until cancelled. Metrics are served on 127.0.0.1 if a port is given.

    Once the brokers answer, the process gets this niceness, and its children with it.
    """
    metrics = LearnerMetrics()
    if metrics_port is not None:
        start_http_server(metrics_port, addr="127.0.0.1", registry=metrics.registry)
        tell(f"metrics on http://127.0.0.1:{metrics_port}/metrics")
    async with open_channel(bootstrap, connection, timeout) as channel, parts as connected:
        lower_priority(niceness)
        service = Service(store, channel, connected, rules=rules, clock=clock, tell=tell, metrics=metrics)
        await service.run()


async def once(
    store: VersionStore,
    parts: AbstractAsyncContextManager[Parts],
    *,
    champion: int,
    parent: int,
    clock: Clock,
    tell: Tell,
) -> bool:
    """Make one version from version `parent` and judge it against the champion; whether it passed. Raises
    `DeployError`."""
    store.clear_unfinished()
    async with parts as connected:
        number = store.next_number()
        began = clock.monotonic()
        await connected.makers.trainer.train("full", parent, number)
        tell(f"version {number}: trained in {clock.monotonic() - began:,.0f} s")
        gates = await connected.makers.gates.judge(number, champion)
    store.set_gates(number, gates)
    for gate in gates:
        tell(f"{'passed' if gate.passed else 'FAILED'}: {gate.name}: {gate.text}")
    return all(gate.passed for gate in gates)


async def facts(
    bootstrap: str, store: VersionStore, rules: Rules, *, connection: Mapping[str, Any], timeout: float, tell: Tell
) -> State:
    """What the store and the topics say now. `tell` gets a line about whatever in the store cannot be read."""
    async with open_channel(bootstrap, connection, timeout) as channel:
        state = State()
        await channel.catch_up(state, rules)
        state.versions, unread = read_known(store)
        for text in unread:
            tell(text)
        began = state.stage_began()
        if began is not None:
            await channel.compared_since(began)
            await channel.catch_up_comparisons(state, rules)
        return state


async def by_hand(
    bootstrap: str,
    store: VersionStore,
    server: AbstractAsyncContextManager[Server],
    step: Callable[[Desk], Awaitable[object]],
    *,
    rules: Rules,
    connection: Mapping[str, Any],
    timeout: float,
    clock: Clock,
    tell: Tell,
) -> None:
    """Take a step, and wait until all live workers have followed. Raises `DeployError`."""
    async with open_channel(bootstrap, connection, timeout) as channel:
        state = State()
        await channel.catch_up(state, rules)
        async with server as connected:
            executor = Executor(
                store, channel, connected, clock=clock, tell=tell, metrics=LearnerMetrics(),
                read=lambda state: channel.catch_up(state, rules),
            )  # fmt: skip
            await executor.refresh(state)
            desk = Desk(executor, channel, state, rules, clock)
            await step(desk)
            try:
                with learning_alone(store):
                    await desk.settle(timeout)
            except AnotherLearner:
                tell("a learner is running: it goes on from here")
