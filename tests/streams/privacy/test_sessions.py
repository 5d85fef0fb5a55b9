"""Session numbers: the same for every owner of the partition, and meaningless without its secret."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.privacy.sessions import SECRET_BYTES, Sessions
from streams.state.records import decode_value
from streams.state.store import SESSIONS, seal

SECRET = bytes(range(SECRET_BYTES))


@given(st.text(), st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_session_number_follows_from_secret_and_id(user: str, secret: bytes) -> None:
    number = Sessions(secret).number(user)
    assert 0 <= number < 2**63
    assert Sessions(secret, alone=True).number(user) == number
    assert Sessions(secret[::-1] + b"!").number(user) != number
    assert Sessions(secret).number(user + "!") != number


def test_numbers_stay_the_same_from_version_to_version() -> None:
    """Else a model's cache could not be dropped after an update of Ouzel."""
    assert Sessions(SECRET).number("ann") == 7_409_272_710_785_011_110
    stored = seal(0, 0, msgspec.msgpack.encode([SECRET, True]))
    assert decode_value(SESSIONS, stored) == Sessions(SECRET, alone=True)


def test_secret_does_not_print() -> None:
    assert repr(Sessions(b"quite secret")) == "Sessions(secret='***', alone=False)"
    assert "quite" not in f"{Sessions(b'quite secret')} {[Sessions(b'quite secret')]}"
