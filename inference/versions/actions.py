"""The actions of the loop of versions. Each is safe to repeat: one that was interrupted is planned again."""

from dataclasses import dataclass

from inference.versions.store import Kind, Verdict
from schemas.models import ModelStatus


@dataclass(frozen=True)
class Train:
    """Make version `number` from version `parent`."""

    kind: Kind
    parent: int
    number: int


@dataclass(frozen=True)
class Judge:
    """Run the gates that need no server, and store their results."""

    number: int
    champion: int


@dataclass(frozen=True)
class Measure:
    """Run the gates of a version that the server has loaded, and store their results too."""

    number: int
    champion: int


@dataclass(frozen=True)
class Place:
    """Copy a version into the server's repository."""

    number: int


@dataclass(frozen=True)
class Load:
    """Have the server serve these versions, and no others. `new` is the one that is added; None if some are dropped."""

    numbers: frozenset[int]
    new: int | None = None


@dataclass(frozen=True)
class Remove:
    """Delete a version that has no role from the server's repository. It stays in the store."""

    number: int


@dataclass(frozen=True)
class Publish:
    """Give a version a role (`ouzel.models`)."""

    status: ModelStatus


@dataclass(frozen=True)
class AddVerdict:
    """Store what happened to a version."""

    number: int
    verdict: Verdict


Action = Train | Judge | Measure | Place | Load | Remove | Publish | AddVerdict


def name_of(action: Action) -> str:
    """The key under which failures of an action are counted."""
    match action:
        case Load(_, new):
            return "unload" if new is None else f"load {new}"
        case Train(kind):
            return f"train {kind}"
        case Publish(status):
            return f"publish {status.version} {status.role}"
        case AddVerdict(number, verdict):
            return f"verdict {number} {verdict.event}"
        case Judge() | Measure() | Place() | Remove():
            return f"{type(action).__name__.lower()} {action.number}"
