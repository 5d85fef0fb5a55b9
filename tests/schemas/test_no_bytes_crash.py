"""Readers answer any bytes with a message or a refusal, and a refusal reveals nothing about the user."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.codec import decode, decode_event, decode_item, decode_order
from schemas.errors import Refusal, Refused
from schemas.limits import MAX_DETAIL_LENGTH
from tests.fuzz.contract import run, tried
from tests.schemas.examples import EXAMPLES, NOW

TYPES = [topic.value for topic in topics.ALL if topic.value is not None]

SECRET = "s3cr3t-user"

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.just(SECRET),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just(SECRET), inner, max_size=4)
    ),
    max_leaves=10,
)


def refusal(read):
    try:
        read()
    except Refused as refused:
        return refused
    return None


@given(message_type=st.sampled_from(TYPES), key=st.binary(max_size=8), value=st.binary(max_size=400))
def test_noise_is_refused_or_read(message_type, key, value):
    tried(message_type, key, value)


@given(name=st.sampled_from(sorted(EXAMPLES)), at=st.floats(0, 1), put=st.binary(max_size=8), data=st.data())
def test_damaged_message_is_refused_or_read(name, at, put, data):
    encode = data.draw(st.sampled_from([msgspec.msgpack.encode, msgspec.json.encode]))
    value = encode(EXAMPLES[name])
    cut = round(at * len(value))
    tried(type(EXAMPLES[name]), b"ann", value[:cut] + put + value[cut + data.draw(st.integers(0, 8)) :])


@given(name=st.sampled_from(sorted(EXAMPLES)), data=st.data())
def test_refusal_quotes_nothing_from_the_value(name, data):
    message = EXAMPLES[name]
    fields = data.draw(
        st.dictionaries(st.sampled_from([*message.__struct_fields__, "v", SECRET]), ANYTHING, max_size=4)
    )
    plain = msgspec.to_builtins(message, builtin_types=(bytes,), str_keys=True) | fields
    value = msgpack.packb(plain)
    readers = [
        lambda: decode(type(message), value),
        lambda: decode_event(value, key=SECRET.encode(), now_ms=NOW),
        lambda: decode_item(value, key=SECRET.encode()),
        lambda: decode_order(value, key=SECRET.encode()),
    ]
    for refused in filter(None, map(refusal, readers)):
        assert SECRET not in refused.detail
        assert SECRET not in str(refused)
        assert refused.detail.isprintable()
        assert len(refused.detail) <= MAX_DETAIL_LENGTH


@pytest.mark.parametrize("seed", range(3))
def test_fuzz_run_passes_and_meets_most_refusals(seed):
    outcomes = run(4_000, seed)
    assert set(outcomes) >= {
        "accepted",
        Refusal.MALFORMED,
        Refusal.INVALID,
        Refusal.NEWER_VERSION,
        Refusal.KEY_MISMATCH,
    }
