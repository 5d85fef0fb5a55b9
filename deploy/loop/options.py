"""Options of `ouzel loop`. Imports nothing heavy: the command reads it before it starts."""

from dataclasses import dataclass
from pathlib import Path

WITH_MODEL = {"learning": True, "frozen": True, "without_model": False}
"""The passes that can be made, and whether a model serves them."""


RULES = (
    *("--full-likes", "1000", "--items-likes", "10000000", "--items-minutes", "0"),
    *("--margin", "0.03", "--shadow-pairs", "200", "--canary-likes", "150", "--share", "0.5"),
)
"""Options of `ouzel learn` for a stream of months that passes in minutes, with few users: decide sooner, and show a
canary to more users. See docs/guide/learning.md."""


@dataclass(frozen=True)
class Options:
    """Options of a loop. `passes` are names of `WITH_MODEL`; `start` is the share of the stream that is history and
    trains the start model; `limit` uses only the first events. `in_flight` users at most wait for a list at a time, and
    no event goes more than `window` events before its turn. `reuse` takes stored passes of the same course. In the
    learning pass, the replay waits for a version once it is `ahead` likes ahead; `rules` are options of `ouzel learn`.
    """

    passes: tuple[str, ...] = tuple(WITH_MODEL)
    start: float = 1 / 3
    seed: int = 0
    limit: int | None = None
    in_flight: int = 6
    window: int = 200
    workers: int = 1
    broker: str = "embedded"
    retrained: bool = False
    processes: int = 2
    reuse: bool = False
    ahead: int = 1_500
    rules: tuple[str, ...] = RULES
    work: Path = Path(".ouzel")
    json: Path | None = None
