"""A learner as a child process, the moments at which it is killed, and what it must have done in the end."""

import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from deploy.local.processes import Child
from inference.errors import WeightsError
from inference.settings import ADAPTER
from inference.triton.control import VARIABLE
from inference.versions.lifecycle import ENDED
from inference.versions.store import TEMPORARY, Kind, VersionStore
from schemas.models import Role
from tests.faults.scorer import Scorer
from tests.faults.scripted_learner import PUBLISHING_SECONDS, TRAINING, TRAINING_SECONDS, WRITING_SECONDS
from tests.support.patience import PATIENCE

RULES: Mapping[Kind, Sequence[str]] = {
    "items": ("--items-likes", "20", "--full-likes", "10000000"),
    "full": ("--full-likes", "20"),
}
"""When a version of each kind is trained."""

QUICK = (
    *("--least-likes", "20", "--items-minutes", "600", "--margin", "1"),
    *("--shadow-pairs", "5", "--canary-likes", "3", "--share", "0.5"),
)
"""One version, whose trial is short: a challenger passes unless it is clearly worse."""


class Moment(StrEnum):
    """When the learner is killed, in the order in which these come."""

    TRAINING = "training"
    WRITING = "writing"
    VERDICT = "verdict"


SECONDS = {
    Moment.TRAINING: TRAINING_SECONDS,
    Moment.WRITING: WRITING_SECONDS,
    Moment.VERDICT: PUBLISHING_SECONDS * 0.8,
}
"""How long each lasts at least."""

ACTED_ON = frozenset({"canary", "promoted"})
"""The verdicts on a challenger that a record follows, unless it is withdrawn."""


class Learner(Child):
    """`ouzel learn` on the scripted model's repository. It makes one version of this kind."""

    def __init__(
        self, scorer: Scorer, store: VersionStore, *, brokers: str, log: Path, output: Path, port: int, kind: Kind
    ) -> None:
        command = [
            *(sys.executable, "-m", "tests.faults.scripted_learner", "--brokers", brokers, "--triton", scorer.address),
            *("--log", str(log), "--versions", str(store.root), "--repository", str(scorer.repository)),
            *("--metrics-port", str(port), *QUICK, *RULES[kind]),
        ]
        super().__init__("the learner", command, log=output, env={VARIABLE: scorer.key})
        self._store = store
        self._trained = _trainings(store)

    def wait_for(self, moment: Moment) -> None:
        """Return when the moment begins. Fails if the learner ends before, or after `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        before = {number: len(events) for number, events in verdicts_of(self._store).items()}
        while not self._has_come(moment, before):
            assert self.running(), f"the learner ended with status {self.returncode} before {moment}: {self.tail()}"
            assert time.monotonic() < deadline, f"no {moment} within {PATIENCE:g} s: {self.tail()}"
            time.sleep(0.002)

    def _has_come(self, moment: Moment, before: Mapping[int, int]) -> bool:
        if moment is Moment.TRAINING:
            return _trainings(self._store) > self._trained
        if moment is Moment.WRITING:
            return next(self._store.root.glob(f"{TEMPORARY}*"), None) is not None
        now = verdicts_of(self._store)
        new = {event for number, events in now.items() for event in events[before.get(number, 0) :]}
        return not (ACTED_ON | ENDED).isdisjoint(new)


def _trainings(store: VersionStore) -> int:
    """The number of trainings that children have begun."""
    log = store.root / "work.log"
    return log.read_text().count(f"{TRAINING} ") if log.exists() else 0


def verdicts_of(store: VersionStore) -> dict[int, list[str]]:
    """What happened to each version, the first included."""
    numbers = [int(each.name) for each in store.root.glob("[0-9]*")] if store.root.is_dir() else []
    return {number: [each.event for each in store.verdicts(number)] for number in numbers}


def partial(store: VersionStore, adapter: Path) -> list[str]:
    """What is wrong in a store: versions that are not whole."""
    wrong = []
    files = {each.name: each.read_bytes() for each in adapter.iterdir()}
    for number in store.numbers():
        try:
            store.record(number)
            store.gates(number)
        except WeightsError as error:
            wrong.append(str(error))
        if {each.name: each.read_bytes() for each in (store.folder(number) / ADAPTER).glob("*")} != files:
            wrong.append(f"version {number} of {store.root} is not whole")
        wrong += store.unread(number)
    return wrong


def is_over(events: Sequence[str]) -> bool:
    """Whether the trial of a version with these verdicts is over."""
    return not {"promoted", *ENDED}.isdisjoint(events)


def wrong_outcome(
    number: int, old: int, verdicts: Mapping[int, Sequence[str]], records: Sequence[tuple[int, str]]
) -> list[str]:
    """How the records of roles, as (number, role), differ from the verdicts on version `number`, the one that was made
    beside the champion `old`: each verdict once, in order, and each with its one record."""
    wrong = []
    for each, events in verdicts.items():
        if len(set(events)) != len(events):
            wrong.append(f"version {each} has a verdict twice: {', '.join(events)}")
        if each not in {number, old}:
            wrong.append(f"version {each}, which was not made, has verdicts: {', '.join(events)}")
    events = list(verdicts.get(number, ()))
    roles = {"canary": Role.CANARY, "promoted": Role.CHAMPION} | dict.fromkeys(ENDED, Role.RETIRED)
    # A version is made and enters shadow by its records; the verdict "shadow" says that all workers were ready.
    expected = [
        (number, Role.MADE),
        (number, Role.SHADOW),
        *((number, roles[event]) for event in events if event in roles),
    ]
    replaced = ["retired"] if "promoted" in events else []
    if list(verdicts.get(old, ())) != replaced:
        wrong.append(f"the champion before, {old}, has the verdicts {list(verdicts.get(old, ()))}, not {replaced}")
    expected += [(old, Role.RETIRED)] * len(replaced)
    if list(records) != [(each, role.value) for each, role in expected]:
        wrong.append(f"the roles were {list(records)}; by the verdicts they are {expected}")
    if not is_over(events):
        wrong.append(f"version {number} has no outcome: {', '.join(events)}")
    return wrong
