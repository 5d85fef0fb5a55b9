"""The versions of the model that this worker uses: the champion, and a challenger while there is one.

`apply` reads `ouzel.models`. The roles follow from the newest record of each version, in the order of the topic, so a
worker that starts late, on a compacted topic, finds the same roles as the others. Until a record names a champion, the
model is asked without a number, as if there were no such topic.

A champion is switched between two lists: `of_list` says which version makes a list, and the list stays with that one.
A new champion takes over once its items are described. A promoted challenger's are, and so are those of the champion
before, whose vectors are held until it is retired or a new challenger needs their place. Otherwise the worker describes
the new champion's items first, and switches after `SWITCH_SECONDS` at the latest.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from schemas.codec import decode
from schemas.errors import Refused
from schemas.models import Lineup, ModelAck, ModelStatus, Role, role_of
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.items.vectors import Vectors
from streams.metrics import Metrics
from streams.serving.canary import drawn
from streams.serving.trials import Trials

log = logging.getLogger(__name__)

MODEL = "scorer"
"""The model whose records count; `ouzel.models` may have those of others."""

SWITCH_SECONDS = 30.0
"""Maximum wait for the vectors of a new champion. The one before makes the lists meanwhile."""

MOST_STATUSES = 64
"""Maximum versions that are not retired: the oldest one that is not in use is dropped."""


@dataclass(frozen=True, eq=False)
class LiveVersion:
    """A version that makes lists or is compared, as of one moment.

    `version` is its name, "" for the only version of a model without records; `number` is what requests name, None for
    no number; `vectors` are those of its items.
    """

    role: Role
    version: str
    number: int | None
    vectors: Vectors

    @property
    def is_champion(self) -> bool:
        return self.role is Role.CHAMPION


class LiveVersions:
    """The versions in use. `changed` is called after each record and each switch.

    `ignored` counts records that could not be used, `shown` the lists published in the challenger's order. `trials`:
    what became of the versions, and how this worker's likes compare the present two.
    """

    def __init__(
        self, catalogue: Catalogue, metrics: Metrics, clock: Clock, changed: Callable[[], object] = lambda: None
    ) -> None:
        self.ignored = 0
        self.shown = 0
        self.trials = Trials()
        self._catalogue = catalogue
        self._metrics = metrics
        self._clock = clock
        self._changed = changed
        self._statuses: dict[str, ModelStatus] = {}
        self._lineup = Lineup()
        self._champion: ModelStatus | None = None
        self._second_of = ""
        self._complete = False
        self._waits_from: float | None = None
        self._told: tuple[tuple[str, str], ...] = ()

    def apply(self, _partition: int, key: bytes, value: bytes | None) -> None:
        """Apply a record of `ouzel.models`. One that cannot be used changes nothing, and is counted."""
        if value is None:
            self._statuses.pop(key.decode(errors="replace"), None)
            self._read()
            return
        try:
            status = decode(ModelStatus, value)
        except Refused as refused:
            self._ignore(f"A record cannot be read ({refused})")
            return
        role = role_of(status)
        if status.version.encode() != key:
            self._ignore("A record has another key than its version")
        elif role is None:
            self._ignore("A record has a role of a later version: upgrade this worker to use it")
        elif status.model == MODEL:
            self.trials.take_status(status)
            self._statuses.pop(status.version, None)
            if role is not Role.RETIRED:
                self._statuses[status.version] = status
            self._read()
            self._drop_oldest()

    def champion(self) -> LiveVersion:
        """The version that makes the lists of all users but a canary's."""
        status, vectors = self._champion, self._catalogue.vectors
        if status is None:
            return LiveVersion(Role.CHAMPION, "", None, vectors)
        return LiveVersion(Role.CHAMPION, status.version, status.number, vectors)

    def challenger(self) -> LiveVersion | None:
        """The version that is tried against the champion."""
        status, vectors = self._lineup.challenger, self._catalogue.second
        if status is None or vectors is None or self._second_of != status.version:
            return None
        return LiveVersion(Role(status.role), status.version, status.number, vectors)

    def of_list(self, user: str) -> LiveVersion:
        """The version that makes the next list of `user` (the name under which the user's state is stored)."""
        self.look()
        status = self._lineup.challenger
        if status is not None and status.role == Role.CANARY and drawn(user, status.share, status.salt):
            canary = self.challenger()
            if canary is not None and self._complete:
                return canary
        return self.champion()

    def opponent(self, by: LiveVersion) -> LiveVersion | None:
        """The version that a list made `by` a version is compared with; None if there is none, if it lacks vectors, or
        if `by` is no longer in use."""
        champion, challenger = self.champion(), self.challenger()
        if challenger is None or challenger.vectors.version != challenger.version or challenger.vectors.waiting:
            return None
        other = challenger if by.is_champion else champion
        same = champion if by.is_champion else challenger
        return other if same.version == by.version else None

    def described(self) -> tuple[LiveVersion, ...]:
        """The versions whose items are to be described, the most urgent first."""
        self.look()
        second, wanted = self._catalogue.second, self._lineup.champion
        if self._waits_from is not None and second is not None and wanted is not None:
            return LiveVersion(Role.SHADOW, wanted.version, wanted.number, second), self.champion()
        challenger = self.challenger()
        return (self.champion(),) if challenger is None else (self.champion(), challenger)

    @property
    def lacking(self) -> int:
        """How many items wait for a vector of the version beside the champion."""
        second = self._catalogue.second
        if second is None or (self._waits_from is None and self.challenger() is None):
            return 0
        return second.waiting

    def ack(self, worker: str, behind: int) -> ModelAck:
        """The worker's acknowledgement, as of now."""
        self.look()
        challenger = self.challenger()
        return ModelAck(
            worker=worker,
            behind=behind,
            ts=self._clock.now_ms(),
            champion=None if self._champion is None else self._champion.version,
            challenger=None if challenger is None else challenger.version,
            lacking=self.lacking,
            shown=self.shown,
        )

    def look(self) -> None:
        """Switch to a new champion if its vectors are here, and note whether the challenger's are complete."""
        before = self._champion
        wanted = self._lineup.champion
        second = self._catalogue.second
        if second is not None and second.version == self._second_of and not second.waiting:
            self._complete = True
        if wanted is None or (before is not None and before.version == wanted.version):
            self._champion, self._waits_from = wanted, None
        else:
            self._approach(wanted)
        if self._waits_from is None:
            self._give_second()
        if self._champion is not before:
            self._tell()

    def _read(self) -> None:
        lineup = Lineup()
        for status in self._statuses.values():
            lineup.take(status)
        self._lineup = lineup
        self.look()
        self._tell()

    def _drop_oldest(self) -> None:
        """Drop a version that is neither champion nor challenger, and was not retired, if there are too many."""
        if len(self._statuses) > MOST_STATUSES:
            used = self._lineup.champion, self._lineup.challenger
            del self._statuses[next(each for each, status in self._statuses.items() if status not in used)]

    def _approach(self, wanted: ModelStatus) -> None:
        """Make `wanted` the champion as soon as lists can be made with it."""
        vectors, second = self._catalogue.vectors, self._catalogue.second
        if second is not None and second.version == wanted.version and self._complete:
            self._switch(wanted)
        elif vectors.version in ("", wanted.version):  # nothing to lose, or unnamed so far
            self._champion, self._waits_from = wanted, None
        elif self._waits_from is None or self._second_of != wanted.version:
            self._open_second(wanted.version)
            self._waits_from = self._clock.monotonic()
        elif self._clock.monotonic() - self._waits_from >= SWITCH_SECONDS:
            log.warning("%s makes lists before all of its items are described: %d wait", wanted.version, self.lacking)
            self._switch(wanted)

    def _switch(self, wanted: ModelStatus) -> None:
        before = "" if self._champion is None else self._champion.version
        self._catalogue.swap_vectors()
        self._champion, self._waits_from = wanted, None
        # The one before made lists up to now: going back to it costs nothing.
        self._second_of, self._complete = before, True

    def _give_second(self) -> None:
        """Give the second set of vectors to the challenger; else keep those of the champion before."""
        challenger = self._lineup.challenger
        if challenger is not None:
            if self._second_of != challenger.version:
                self._open_second(challenger.version)
        elif self._second_of not in self._statuses:
            self._catalogue.second, self._second_of, self._complete = None, "", False

    def _open_second(self, version: str) -> None:
        self._catalogue.open_second()
        self._second_of, self._complete, self.shown = version, False, 0

    def _ignore(self, line: str) -> None:
        self.ignored += 1
        self._metrics.ignored_model_records.inc()
        log.warning("%s; it changes no version's role", line)

    def _tell(self) -> None:
        champion, challenger = self.champion(), self.challenger()
        pair = (champion,) if challenger is None else (champion, challenger)
        used = tuple((each.version, each.role.value) for each in pair)
        if used != self._told:
            self._told = used
            self._metrics.roles.clear()
            for version, role in used:
                if version:
                    self._metrics.roles.labels(version, role).set(1)
            text = ", ".join(f"{version or 'the only one'} ({role})" for version, role in used)
            log.info("Versions in use: %s", text)
        self._changed()
