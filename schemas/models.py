"""Which model version is in which role, what workers made of it, and how two versions compare.

`ouzel.models` (keyed by version) says which version makes lists, the champion, and which one is tried against it, the
challenger: in shadow, then as a canary. `ouzel.model-acks` (keyed by worker) says how far each worker follows.
`ouzel.comparisons` (keyed by list) has one record for each like of a user while there was a challenger.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import Id, Millis, Offset, Probability, Scene

MAX_NUMBER = 2**31 - 1

Number = Annotated[int, Meta(ge=1, le=MAX_NUMBER)]
"""The number of a version: its folder in Triton's model repository."""

Count = Annotated[int, Meta(ge=0, le=2**53)]


class Role(StrEnum):
    """The roles that this version knows.

    `MADE` is none yet: the version is trained, and its gates are run. `SHADOW` and `CANARY` are the two steps of a
    challenger. In shadow it scores the lists that the champion makes, and no user sees its order; as a canary it makes
    the lists of a share of the users.
    """

    MADE = "made"
    CHAMPION = "champion"
    SHADOW = "shadow"
    CANARY = "canary"
    RETIRED = "retired"


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """From `ts` on, `version` of `model` is in this `role`: a `Role`, or one that a later version knows.

    A record with an unknown role is valid. Readers ignore and count it (`Lineup`), so that a role can be added without
    upgrading every reader first.

    `number` is the version's folder in Triton, which requests name. For a canary, `share` is the share of users who get
    its lists, and `salt` the key of the hash that draws them. `reason` says why the role was given, for operators.
    """

    model: Id
    version: Id
    role: Annotated[str, Meta(min_length=1, max_length=32)]
    ts: Millis
    number: Number = 1
    share: Probability = 0.0
    salt: Annotated[str, Meta(max_length=64)] = ""
    reason: Annotated[str, Meta(max_length=400)] = ""


class ModelAck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """How far `worker` follows `ouzel.models`: it has applied every record before offset `behind`.

    `champion` and `challenger` are the versions that it uses now. `lacking` counts the items of its catalogue without
    the challenger's vector: at 0 it compares, and a switch costs nothing. `shown` counts the lists that it published in
    the challenger's order. Sent after each change, and as a heartbeat; one that is old is of a worker that ended.
    """

    worker: Id
    behind: Offset
    ts: Millis
    champion: Id | None = None
    challenger: Id | None = None
    lacking: Count = 0
    shown: Count = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """What one like says of the champion and the challenger, by the same lists of one user.

    `id` is made from the list and the event: a repeat after a crash has the same id. `list` is the newest list before
    the like. A version has a hit if its order of that list shows the item. `canary` says whether the challenger's order
    was shown. There is no user id.
    """

    id: Id
    list: Id
    scene: Scene
    ts: Millis
    champion: Id
    challenger: Id
    champion_hit: bool
    challenger_hit: bool
    canary: bool = False


def role_of(status: ModelStatus) -> Role | None:
    """The role, None for one that is not known here."""
    return Role(status.role) if status.role in set(Role) else None


@dataclass
class Lineup:
    """The roles of the versions of one model, as a reader of `ouzel.models` knows them. `champion` is None until a
    record names one: then the only version that Triton has loaded makes the lists. `ignored` counts the records with an
    unknown role, which change nothing."""

    champion: ModelStatus | None = None
    challenger: ModelStatus | None = None
    ignored: int = 0

    def take(self, status: ModelStatus) -> Role | None:
        """Take in one record, in the order of the topic; its role, None if it is ignored.

        A new champion replaces the one before, and a new challenger replaces the one before.
        """
        role = role_of(status)
        if role is None:
            self.ignored += 1
            return None
        if role is Role.MADE:
            return role
        if self.challenger is not None and self.challenger.version == status.version:
            self.challenger = None
        if role is Role.CHAMPION:
            self.champion = status
        elif role is not Role.RETIRED:
            self.challenger = status
        elif self.champion is not None and self.champion.version == status.version:
            self.champion = None
        return role
