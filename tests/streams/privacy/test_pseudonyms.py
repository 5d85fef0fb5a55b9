"""Pseudonyms: the same for the same key, without a trace of the id, and used by the fold for state and outputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadSetting
from streams.fold.batch import fold_batch
from streams.privacy.pseudonyms import alias_with, fingerprint, same
from streams.secret import Secret
from streams.settings import Settings
from tests.streams.fold.test_batch import NOW, WINDOW, State, like, record
from tests.streams.privacy.test_erasure import erase

KEY = "sixteen letters or more"


@given(st.text(min_size=1, max_size=128).filter(str.isprintable), st.text(min_size=1, max_size=128))
def test_alias_is_one_name_a_user_and_key(user: str, other: str) -> None:
    alias = alias_with(KEY)
    assert alias(user) == alias_with(KEY)(user)
    assert len(alias(user)) == 32
    assert (alias(user) == alias(other)) is (user == other)
    assert alias(user) != alias_with(KEY + "!")(user)


def test_without_a_key_users_keep_their_ids() -> None:
    assert alias_with("") is same
    assert same("ann") == "ann"
    assert fingerprint("") == b""
    assert fingerprint(KEY) != fingerprint(KEY + "!")


@pytest.mark.parametrize("key", ["short", "x" * 65, "ü" * 40])
def test_invalid_key_is_refused_without_being_named(key: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_PSEUDONYM_KEY") as refused:
        Settings.make(pseudonym_key=Secret(key))
    assert key not in str(refused.value)


def test_fold_keeps_pseudonyms_and_triggers_with_ids() -> None:
    alias, state = alias_with(KEY), State()
    batch = [record(0, like(1)), record(1, like(1, "bob")), record(2, erase("bob"))]
    folded = fold_batch(batch, state, partition=3, now_ms=NOW, window_ms=WINDOW, alias=alias)
    assert set(folded.drafts) == {alias("ann")}
    assert {name: event.user for name, (event, _, _) in folded.triggers.items()} == {alias("ann"): "ann"}
    assert folded.cleared == {alias("bob"): "bob"}
    assert [(event.user, name) for event, _, name in folded.receipts] == [("bob", alias("bob"))]
