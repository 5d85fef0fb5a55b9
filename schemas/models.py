"""Which model version is in which role: the values of `ouzel.models`, keyed by model."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import Id, Millis


class Role(StrEnum):
    """The roles that this version knows."""

    ACTIVE = "active"
    SHADOW = "shadow"
    RETIRED = "retired"


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    """From `ts` on, `version` of `model` is in this `role`: a `Role`, or one that a later version knows.

    A record with an unknown role is valid. Readers ignore and count it (`Roles`), so that a role can be added without
    upgrading every reader first.
    """

    model: Id
    version: Id
    role: Annotated[str, Meta(min_length=1, max_length=32)]
    ts: Millis


def role_of(status: ModelStatus) -> Role | None:
    """The role, None for one that is not known here."""
    return Role(status.role) if status.role in set(Role) else None


@dataclass
class Roles:
    """What a reader of `ouzel.models` holds: the last status of each model whose role it knew. `ignored` counts the
    records with an unknown role; a model keeps the status that it had."""

    statuses: dict[str, ModelStatus] = field(default_factory=dict)
    ignored: int = 0

    def take(self, status: ModelStatus) -> Role | None:
        """Take in one record, in the order of the topic; its role, None if it is ignored."""
        role = role_of(status)
        if role is None:
            self.ignored += 1
        else:
            self.statuses[status.model] = status
        return role
