"""What the store of versions says, as the loop's state has it; and the lock for the one learner of a store."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.errors import DeployError
from inference.errors import WeightsError
from inference.versions.state import Known
from inference.versions.store import FIRST, VersionStore

LOCK = "learner.lock"


class AnotherLearner(DeployError):
    """The store is in use by a learner."""


def read_known(store: VersionStore) -> tuple[dict[int, Known], list[str]]:
    """All versions by number, and a sentence about whatever cannot be read.

    A version whose record is damaged or gone is there with its verdicts alone, like the first: else a verdict on it,
    while it has a role, would be given again and again.
    """
    found: dict[int, Known] = {}
    unread: list[str] = []
    complete = store.numbers()
    for number in sorted({FIRST, *store.judged(), *complete}):
        verdicts = tuple(store.verdicts(number))
        unread += store.unread(number)
        found[number] = Known(verdicts=verdicts)
        if number in complete:
            try:
                found[number] = Known(record=store.record(number), gates=tuple(store.gates(number)), verdicts=verdicts)
            except WeightsError as error:
                unread.append(str(error))
    return found, unread


@contextmanager
def learning_alone(store: VersionStore) -> Iterator[None]:
    """Hold the lock of the store in this block. Raises `AnotherLearner` while another process has it."""
    store.root.mkdir(parents=True, exist_ok=True)
    with (store.root / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AnotherLearner(
                f"another `ouzel learn` uses {store.root}. Stop it, or name another folder (--versions)."
            ) from None
        yield
