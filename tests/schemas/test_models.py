"""Roles of model versions: who makes lists, who is tried, and what a reader ignores."""

import msgspec
import pytest

from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.models import Lineup, ModelStatus, Role, role_of

NOW = 1_700_000_000_000


def status(role: str, version: str = "v-7") -> ModelStatus:
    return decode(ModelStatus, encode(ModelStatus(model="scorer", version=version, role=role, ts=NOW)))


def lineup(*statuses: tuple[str, str]) -> tuple[str | None, str | None]:
    """The versions of champion and challenger after these records: (role, version)."""
    made = Lineup()
    for role, version in statuses:
        made.take(status(role, version))
    champion, challenger = made.champion, made.challenger
    return champion.version if champion else None, challenger.version if challenger else None


@pytest.mark.parametrize("role", Role)
def test_known_role_is_read(role: Role) -> None:
    assert Lineup().take(status(role.value)) is role


def test_promoted_challenger_replaces_the_champion() -> None:
    steps = [("champion", "a"), ("shadow", "b"), ("canary", "b"), ("champion", "b")]
    assert [lineup(*steps[:count]) for count in range(5)] == [
        (None, None), ("a", None), ("a", "b"), ("a", "b"), ("b", None),
    ]  # fmt: skip
    assert lineup(*steps, ("retired", "a")) == ("b", None)
    assert lineup(*steps, ("champion", "a")) == ("a", None)


def test_retired_version_has_no_role() -> None:
    assert lineup(("champion", "a"), ("shadow", "b"), ("retired", "b")) == ("a", None)
    assert lineup(("champion", "a"), ("retired", "a")) == (None, None)


def test_new_challenger_replaces_the_one_before() -> None:
    assert lineup(("champion", "a"), ("shadow", "b"), ("shadow", "c"), ("retired", "b")) == ("a", "c")


def test_unknown_role_is_ignored_and_counted() -> None:
    made = Lineup()
    made.take(status("champion"))
    later = status("twin", "v-8")
    assert role_of(later) is None
    assert made.take(later) is None
    assert made.champion is not None
    assert (made.champion.version, made.challenger, made.ignored) == ("v-7", None, 1)


@pytest.mark.parametrize("role", ["", "x" * 33, 7, None])
def test_role_that_is_no_name_is_refused(role: object) -> None:
    value = msgspec.json.encode({"v": 1, "model": "scorer", "version": "7", "role": role, "ts": NOW})
    with pytest.raises(Refused):
        decode(ModelStatus, value)
