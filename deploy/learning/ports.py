"""What the loop of versions needs of others: the training log, the training, the gates, the server, and the topics.

The loop calls these alone, so that tests run it in memory.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from deploy.errors import DeployError
from inference.versions.drift import Drift
from inference.versions.rules import Rules
from inference.versions.state import Serving, State
from inference.versions.store import Gate, Kind, Learned
from schemas.models import Comparison, ModelStatus


class VersionRefused(DeployError):
    """A version cannot be judged, placed or loaded, however often it is tried: it is rejected with this reason."""


class TrainingFailed(DeployError):
    """The child process that trains ended without a version."""


class JudgingFailed(DeployError):
    """The child process that judges ended without a result; another try may succeed."""


class Log(Protocol):
    async def likes(self, learned: Sequence[Learned]) -> int:
        """The number of likes in the training log outside these ranges of records."""


class Watch(Protocol):
    async def drift(self, champion: ModelStatus, rules: Rules) -> Drift:
        """What the lists of the champion say now."""


class Trainer(Protocol):
    async def train(self, kind: Kind, parent: int, number: int) -> None:
        """Write version `number` into the store, complete or not at all, trained from version `parent`.

        Raises `TrainingFailed`. Cancelling it ends the training.
        """


class Gates(Protocol):
    async def judge(self, number: int, champion: int) -> list[Gate]:
        """The results of the gates that need no server: at least one. Raises `VersionRefused`."""

    async def measure(self, number: int, champion: int) -> list[Gate]:
        """The results of the gates on a version that the server has loaded. Raises `VersionRefused`."""


class Server(Protocol):
    """Calls raise `VersionRefused` if the version is at fault, and any other error if a later try can succeed."""

    async def serving(self) -> Serving: ...

    async def place(self, number: int) -> None:
        """Copy a version from the store into the server's repository, complete or not at all."""

    async def load(self, numbers: frozenset[int]) -> None:
        """Serve these versions and no others; returns once each of them answers."""

    async def remove(self, number: int) -> None:
        """Delete a version from the repository."""


class Channel(Protocol):
    """The topics of roles, acknowledgements and comparisons."""

    async def catch_up(self, state: State, rules: Rules) -> None:
        """Read roles and acknowledgements up to their present ends."""

    async def compared_since(self, ms: int | None) -> None:
        """Let `follow` begin with the comparisons recorded from this time on; None: with new ones."""

    def follow(self, state: State, rules: Rules) -> AsyncGenerator[Sequence[Comparison], None]:
        """Read all three topics into `state` until closed; gives the comparisons of each batch, which may be empty."""

    async def publish(self, status: ModelStatus) -> int:
        """Publish a role; its offset. It is in the state once `follow` or `catch_up` has read it."""


@dataclass(frozen=True)
class Makers:
    """What makes and judges versions."""

    trainer: Trainer
    gates: Gates


@dataclass(frozen=True)
class Parts:
    """Everything that the loop works with, beside its store and its topics. Without `watch`, drift is not measured."""

    log: Log
    makers: Makers
    server: Server
    watch: Watch | None = None
