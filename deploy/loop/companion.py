"""What runs beside the lists of a pass: nothing, or the parts that learn from them. This is the seam for learning."""

from dataclasses import dataclass
from typing import Protocol

from deploy.local.stack import Stage
from deploy.local.steps import Step


@dataclass(frozen=True)
class Learned:
    """What became of the versions that were made during a pass. `withdrawn` are challengers that were not promoted;
    `held_seconds` is how long the replay waited for the learner, and `given_up` how often in vain."""

    versions: int = 0
    promoted: int = 0
    rolled_back: int = 0
    withdrawn: int = 0
    held_seconds: float = 0.0
    given_up: int = 0


class Companion(Protocol):
    """The parts beside a pass. The pass calls `begin` when its workers are ready and before the first event, and `end`
    after the last list, while everything still runs."""

    async def begin(self, stage: Stage, step: Step) -> None:
        """Start the parts with `stage.start`, and wait until they are ready. Raises `DeployError`."""

    async def before_like(self, sent: int) -> None:
        """Return when the next like may be sent, after `sent` of them: hold the replay while the learner is far
        behind."""

    async def end(self) -> Learned:
        """What became of the versions."""


class Alone:
    """No parts beside the pass: the version that it starts with makes all lists."""

    async def begin(self, stage: Stage, step: Step) -> None:
        step.say("nothing learns in this pass")

    async def before_like(self, sent: int) -> None:
        """Never holds."""

    async def end(self) -> Learned:
        return Learned()
