"""What the learner knows of versions, workers and the server, folded from observations. Pure.

Everything here can be read again after a crash: roles and acknowledgements from Kafka, versions and verdicts from the
store, loaded versions from the server, and the test from the comparisons since its stage began.
"""

from dataclasses import dataclass, field

import msgspec

from inference.versions.drift import Finding
from inference.versions.rules import Rules
from inference.versions.store import Gate, Kind, Verdict, Version
from inference.versions.verdicts import Arms, Paired
from schemas.models import Comparison, Lineup, ModelAck, ModelStatus, Role, role_of

BACKOFF_MS, LONGEST_BACKOFF_MS = 5_000, 600_000
"""Wait after the first failure of an action; doubled with each further one, up to the second."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a version. `record` is None for one that `ouzel triton build` made; `gates` are empty until
    it was judged."""

    record: Version | None = None
    gates: tuple[Gate, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


class Given(msgspec.Struct, frozen=True):
    """A record of `ouzel.models` and its offset."""

    status: ModelStatus
    offset: int


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has: versions that it serves, those in its repository, and the name of the lowest that it
    serves."""

    loaded: frozenset[int]
    placed: frozenset[int]
    name: str


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The likes in the training log that no version learned, and those that no full version learned."""

    likes: int
    full: int


@dataclass
class Failure:
    """An action failed `times` in a row and waits until `until` (ms). `final`: another try cannot help."""

    reason: str
    times: int
    until: int
    final: bool


@dataclass
class State:
    """The known facts. `end` is the offset after the last record of `ouzel.models` that was read."""

    versions: dict[int, Known] = field(default_factory=dict)
    lineup: Lineup = field(default_factory=Lineup)
    roles: dict[str, Given] = field(default_factory=dict)
    end: int = 0
    acks: dict[str, ModelAck] = field(default_factory=dict)
    ended_shown: int = 0
    serving: Serving | None = None
    measured: set[int] = field(default_factory=set)
    growth: Growth | None = None
    drift: tuple[Finding, ...] = ()
    test: Paired | Arms | None = None
    ignored: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    def take_record(self, status: ModelStatus, offset: int, rules: Rules) -> None:
        """A record of `ouzel.models`, in the order of the topic."""
        self.end = max(self.end, offset + 1)
        before = self.lineup.challenger
        if self.lineup.take(status) is None:
            return
        self.roles[status.version] = Given(status, offset)
        if self.lineup.challenger != before:
            self._begin_test(rules)

    def take_ack(self, ack: ModelAck) -> None:
        last = self.acks.get(ack.worker)
        if last is not None and last.challenger == ack.challenger and ack.shown < last.shown:
            self.ended_shown += last.shown  # the worker started again and counts from 0
        self.acks[ack.worker] = ack

    def take_end(self, worker: str) -> None:
        """A worker withdrew its acknowledgement: it has stopped. The lists that it showed still count."""
        last = self.acks.pop(worker, None)
        challenger = self.lineup.challenger
        if last is not None and challenger is not None and last.challenger == challenger.version:
            self.ended_shown += last.shown

    def take_comparison(self, given: Comparison, logged_ms: int) -> None:
        """A comparison, and the time of its record. Those of other versions or from before the stage are ignored."""
        champion, challenger = self.lineup.champion, self.lineup.challenger
        begun = self.stage_began()
        if (
            self.test is None
            or begun is None
            or logged_ms < begun
            or champion is None
            or challenger is None
            or (given.champion, given.challenger) != (champion.version, challenger.version)
        ):
            self.ignored += 1
            return
        self.test.add(given)

    def take_failure(self, action: str, reason: str, now: int, *, final: bool) -> None:
        times = self.failures[action].times + 1 if action in self.failures else 1
        wait = min(BACKOFF_MS * 2 ** min(times - 1, 10), LONGEST_BACKOFF_MS)
        self.failures[action] = Failure(reason, times, now + wait, final)

    def took_place(self, action: str) -> None:
        """An action succeeded."""
        self.failures.pop(action, None)

    def begin_stage_again(self, rules: Rules) -> None:
        """Start the test of the present stage from no comparison, before they are read again."""
        self._begin_test(rules)

    def stage_began(self) -> int | None:
        """The time from which comparisons count: in shadow, when every worker was ready; for a canary, its record's."""
        challenger = self.lineup.challenger
        if challenger is None:
            return None
        if role_of(challenger) is Role.CANARY:
            return challenger.ts
        return next((each.ts for each in self.since(challenger) if each.event == "shadow"), None)

    def since(self, status: ModelStatus) -> list[Verdict]:
        """What happened to a version since it got this role."""
        known = self.versions.get(status.number)
        return [each for each in known.verdicts if each.ts >= status.ts] if known is not None else []

    def names_of(self, number: int) -> set[str]:
        known = self.versions.get(number)
        told = {given.status.version for given in self.roles.values() if given.status.number == number}
        return told | ({known.record.name} if known is not None and known.record is not None else set())

    def live(self, rules: Rules, now: int) -> list[ModelAck]:
        """The acknowledgements of workers that are not known to have ended."""
        return [ack for ack in self.acks.values() if now - ack.ts <= rules.live_seconds * 1000]

    def followed(self, rules: Rules, now: int) -> bool:
        """Whether every live worker applied all records of `ouzel.models` that are known here."""
        return all(ack.behind >= self.end for ack in self.live(rules, now))

    def shown(self) -> int:
        """Lists that workers published in the challenger's order; at least this many."""
        challenger = self.lineup.challenger
        if challenger is None:
            return 0
        return self.ended_shown + sum(a.shown for a in self.acks.values() if a.challenger == challenger.version)

    def newest(self, kind: Kind | None = None) -> Version | None:
        """The newest version in the store, of this kind."""
        found = [each.record for each in self.versions.values() if each.record is not None]
        return max((each for each in found if kind in {None, each.kind}), key=lambda each: each.number, default=None)

    def _begin_test(self, rules: Rules) -> None:
        challenger = self.lineup.challenger
        self.ended_shown = 0
        if challenger is None:
            self.test = None
        else:
            self.test = Arms.of(rules) if role_of(challenger) is Role.CANARY else Paired.of(rules)
