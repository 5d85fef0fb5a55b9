"""What all lanes of a worker share."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from schemas.dead_letters import DeadLetter
from streams.clock import SYSTEM, Clock
from streams.fold.attribution import Judged
from streams.fold.batch import Call
from streams.fold.marking import Marking, Markings
from streams.health.board import Board
from streams.health.conditions import NOT_ASKED, Survey
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from streams.privacy.pseudonyms import Alias, same
from streams.settings import Settings
from streams.state.changelog import Changelog
from streams.state.partition import PartitionState
from streams.state.store import Store
from streams.turns import Turns

Publish = Callable[[Sequence[Output]], Awaitable[None]]
"""Send records; return when the broker has them all."""


class Lists(Protocol):
    """The list path, as the lanes see it. None of these waits, but `settle`."""

    def assign(self, state: PartitionState) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def observe(self, partition: int, judged: Judged, offset: int) -> None: ...
    def steered(self, count: int) -> None: ...
    def trigger(self, partition: int, alias: str, call: Call, folded_at: float) -> None: ...
    def first_unanswered(self, partition: int) -> int | None: ...
    def forget(self, user: str) -> tuple[str, ...]: ...

    async def settle(self, partition: int, users: Sequence[str]) -> tuple[str, ...]:
        """Unlike the others, this waits: for the lists being made of users who were erased, and for the model."""


async def _not_asked() -> Survey:
    return NOT_ASKED


@dataclass(frozen=True)
class Plane:
    """What all lanes of a worker share.

    `changelog` makes the changelog of a partition over its store. `warm` returns once lists can be made: the catalogue
    is there, with its items marked so, and the item graph. `rejected` is told the dead letters. `markings` has how
    items are marked; `alias` gives the name that a user's state is kept under. `turns` are shared with
    everything else that holds the event loop. `secret` draws what a partition's session numbers are made with
    (`streams.privacy.sessions`), None where no model is asked. `survey` asks the brokers how the topics are now;
    `board` has what cannot be served.
    """

    settings: Settings
    clock: Clock
    metrics: Metrics
    lists: Lists | None
    publish: Publish
    changelog: Callable[[int, Store], Changelog]
    warm: Callable[[Marking], Awaitable[None]]
    rejected: Callable[[Iterable[DeadLetter]], None]
    markings: Markings
    alias: Alias = same
    turns: Turns = field(default_factory=Turns)
    secret: Callable[[], bytes] | None = None
    survey: Callable[[], Awaitable[Survey]] = _not_asked
    board: Board = field(default_factory=lambda: Board(SYSTEM.monotonic))
