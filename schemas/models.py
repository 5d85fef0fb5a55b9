"""Which model version is in which role: the values of `ouzel.models`, keyed by model."""

from enum import StrEnum

import msgspec

from schemas.limits import Id, Millis


class Role(StrEnum):
    ACTIVE = "active"
    SHADOW = "shadow"
    RETIRED = "retired"


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    model: Id
    version: Id
    role: Role
    ts: Millis
