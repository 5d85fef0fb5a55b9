"""One piece of the learner's heavy work, described as data: a child process does it (`deploy.learning.work`)."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from deploy.learning.ports import VersionRefused
from deploy.local.environment import CHILDREN, OURS
from inference.versions.store import Gate, Kind

MODULE = "deploy.learning.work"
MOST_EVENTS = 200_000
"""Of the training log, the newest events that a training or a judgement looks at; about 1 KiB of memory each."""

TRAINING_SECONDS = 900.0
"""No pass of a training begins after this."""

MOST_TESTS = 500
"""Held-out likes, and decisions of logged lists, that a version is judged on: each is scored twice by three models."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`work` on version `number`: train it as `kind` from version `other`, or judge or measure it against the champion
    `other`. `result` is the file for the results of gates. `days` of the training log are read. Each label in `groups`
    is a group of items that the gates look at separately. At most `tests` likes and decisions are judged. `threads` of
    a training; 0: as many as cores, up to 8. No pass of a training begins after `seconds`, and each repeats the share
    `replay` of older events."""

    work: Literal["train", "judge", "measure"]
    number: int
    other: int
    kind: Kind = "full"
    log: str
    versions: str
    repository: str
    triton: str
    brokers: str
    timeout: float = 30.0
    device: str = "cpu"
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = TRAINING_SECONDS
    replay: Annotated[float, Meta(ge=0, le=1)] = 1.0
    days: Annotated[int, Meta(ge=1)] = 30
    most: Annotated[int, Meta(ge=1_000)] = MOST_EVENTS
    groups: tuple[str, ...] = ()
    tests: Annotated[int, Meta(ge=30)] = MOST_TESTS
    result: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The results of gates, or why the version cannot be judged at all."""

    gates: list[Gate] = []
    refused: str = ""

    @classmethod
    def take(cls, path: Path) -> list[Gate]:
        """Read and delete a result. Raises `VersionRefused`, and `OSError` or `msgspec.DecodeError` without one."""
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        finally:
            with suppress(OSError):
                path.unlink()
        if found.refused:
            raise VersionRefused(found.refused)
        return found.gates


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the settings of this process, among them the login at the brokers."""
    return {**CHILDREN, **{name: text for name, text in environ.items() if name.startswith(OURS)}}
