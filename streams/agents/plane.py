"""The resources that all lanes of a worker share."""

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
    """The list path as the lanes use it. Only `settle` waits."""

    def assign(self, state: PartitionState) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def observe(self, partition: int, judged: Judged, offset: int) -> None: ...
    def steered(self, count: int) -> None: ...
    def trigger(self, partition: int, alias: str, call: Call, folded_at: float) -> None: ...
    def first_unanswered(self, partition: int) -> int | None: ...
    def forget(self, user: str) -> tuple[str, ...]: ...

    async def settle(self, partition: int, users: Sequence[str]) -> tuple[str, ...]:
        """Wait for lists being made of erased users, and for the model."""


async def _not_asked() -> Survey:
    return NOT_ASKED


@dataclass(frozen=True)
class Plane:
    """The resources that all lanes of a worker share.

    `changelog` makes the changelog of a partition over its store. `warm` returns once lists can be made: the catalogue
    is read, with its items marked this way, and so is the item graph. `rejected` is called with the dead letters.
    `markings` says how items are marked; `alias` returns the name under which a user's state is stored. `turns` are
    shared with everything else that occupies the event loop. `secret` draws the secret of a partition's session
    numbers (`streams.privacy.sessions`), None if no model is used. `survey` asks the brokers for the state of the
    topics; `board` holds the conditions that prevent serving.
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
