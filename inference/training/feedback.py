"""Events to train on from what people did with the lists that they were shown (`ouzel.feedback`). Pure.

What was taken or rejected becomes an event. Lists show more often what the policy already prefers, so an event counts
the more, the less likely its item was to be shown where it was: 1 over its propensity, at most `CLIP`, since a single
event of an unlikely item must not decide a batch.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from schemas.events import Event, EventKind
from schemas.feedback import Feedback, Outcome
from schemas.privacy import ErasureReceipt

CLIP = 10.0

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Line(msgspec.Struct, frozen=True):
    """A line as `ouzel read` prints it."""

    value: Feedback | None = None


class _ReceiptLine(msgspec.Struct, frozen=True):
    value: ErasureReceipt | None = None


M = TypeVar("M", bound=msgspec.Struct)


@dataclass
class Told:
    """`events` in the order of the lines, `weights` by their ids. `refused`: lines that are no feedback; `idle`: lists
    from which nothing was taken, which say nothing about what comes next; `erased`: of people from before they were
    erased."""

    events: list[Event] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    idle: int = 0
    erased: int = 0

    def __str__(self) -> str:
        erased = f", {self.erased:,} of erased people" if self.erased else ""
        return (
            f"{len(self.events):,} events, {self.idle:,} lists not taken from, "
            f"{self.refused:,} lines not understood{erased}"
        )


def weight(propensity: float | None) -> float:
    """How much an event counts whose item was shown with this probability; 1 where it is not known."""
    if propensity is None:
        return 1.0
    return CLIP if propensity * CLIP <= 1.0 else 1.0 / propensity


def erased(lines: Iterable[bytes | str]) -> dict[str, int]:
    """From when on there is something to learn from people who were erased, by user (or pseudonym), milliseconds since
    1970.

    `lines` are receipts, each alone or as `ouzel read privacy-receipts` prints it; those that are none are passed over.
    """
    since: dict[str, int] = {}
    for line in lines:
        found = _decoded(line, _ReceiptLine, ErasureReceipt) if line.strip() else None
        if found is not None:
            person = found.person or found.user
            since[person] = max(since.get(person, 0), found.ts)
    return since


def events(lines: Iterable[bytes | str], since: Mapping[str, int] = MappingProxyType({})) -> Told:
    """The events behind lines of JSON, each feedback alone or as `ouzel read` prints it. Repeats count once.

    Of people in `since`, what is not younger than that is left out.
    """
    told = Told()
    for line in lines:
        if not line.strip():
            continue
        found = _decoded(line, _Line, Feedback)
        if found is None:
            told.refused += 1
        elif found.ts <= since.get(found.user, -1):
            told.erased += 1
        elif found.outcome is Outcome.NOT_TAKEN or found.item is None or found.kind is None or found.event is None:
            told.idle += 1
        elif found.event not in told.weights:
            told.weights[found.event] = weight(found.propensity)
            told.events.append(
                Event(
                    id=found.event,
                    user=found.user,
                    kind=found.kind,
                    ts=found.ts,
                    item=found.item,
                    scene=found.scene,
                    value=min(5.0, max(0.0, 2.0 * found.reward + 3.0)) if found.kind is EventKind.RATE else None,
                )
            )
    return told


def _decoded(line: bytes | str, printed: Any, kind: type[M]) -> M | None:
    with suppress(*_UNREADABLE):
        found: M | None = msgspec.json.decode(line, type=printed).value
        if found is not None:
            return found
    with suppress(*_UNREADABLE):
        return msgspec.json.decode(line, type=kind)
    return None
