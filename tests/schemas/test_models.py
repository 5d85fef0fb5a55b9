"""Roles of models: a reader ignores what it does not know yet."""

import msgspec
import pytest

from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.models import ModelStatus, Role, Roles, role_of

NOW = 1_700_000_000_000


def status(role: str, version: str = "7") -> ModelStatus:
    return decode(ModelStatus, encode(ModelStatus(model="scorer", version=version, role=role, ts=NOW)))


@pytest.mark.parametrize("role", Role)
def test_known_role_is_read(role: Role) -> None:
    roles = Roles()
    assert roles.take(status(role.value)) is role
    assert roles.statuses["scorer"].version == "7"
    assert roles.ignored == 0


def test_unknown_role_is_ignored_and_counted() -> None:
    roles = Roles()
    roles.take(status("active"))
    later = status("canary", "8")
    assert role_of(later) is None
    assert roles.take(later) is None
    assert (roles.statuses["scorer"].version, roles.ignored) == ("7", 1)


@pytest.mark.parametrize("role", ["", "x" * 33, 7, None])
def test_role_that_is_no_name_is_refused(role: object) -> None:
    value = msgspec.json.encode({"v": 1, "model": "scorer", "version": "7", "role": role, "ts": NOW})
    with pytest.raises(Refused):
        decode(ModelStatus, value)
