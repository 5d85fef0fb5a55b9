"""Every field has a bound, the largest message fits its topic, and one step over a bound is refused."""

import math

import msgpack
import msgspec
import pytest
from msgspec import inspect

from schemas import codec, topics
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal, Refused
from schemas.events import Event
from schemas.items import Item
from schemas.limits import MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES, MAX_RECORD_BYTES
from schemas.recommendations import Recommendation

TYPES = [topic.value for topic in topics.ALL if topic.value is not None]


def unbounded(kind: inspect.Type, path: str) -> list[str]:  # noqa: PLR0911 - one case a line
    """The paths of all unbounded fields within a type."""
    match kind:
        case inspect.Metadata(type=inner):
            return unbounded(inner, path)
        case inspect.StructType(fields=fields):
            return [found for field in fields for found in unbounded(field.type, f"{path}.{field.name}")]
        case inspect.UnionType(types=types):
            return [found for one in types for found in unbounded(one, path)]
        case inspect.VarTupleType(item_type=item, max_length=most):
            return unbounded(item, f"{path}[]") + ([path] if most is None else [])
        case inspect.DictType(key_type=key, value_type=value, max_length=most):
            within = unbounded(key, f"{path}{{key}}") + unbounded(value, f"{path}{{}}")
            return within + ([path] if most is None else [])
        case inspect.StrType(max_length=most) | inspect.BytesType(max_length=most):
            return [path] if most is None else []
        case inspect.IntType(ge=least, le=most, lt=limit) | inspect.FloatType(ge=least, le=most, lt=limit):
            return [path] if least is None or (most is None and limit is None) else []
        case inspect.EnumType() | inspect.NoneType() | inspect.BoolType():
            return []
    return [path]


def greatest(kind: inspect.Type) -> object:  # noqa: PLR0911, PLR0912 - one case a line
    """The plain value within the bounds of a type that takes the most bytes."""
    match kind:
        case inspect.Metadata(type=inner):
            return greatest(inner)
        case inspect.StructType(fields=fields, array_like=array_like, tag=tag):
            filled = {field.name: greatest(field.type) for field in fields}
            return list(filled.values()) if array_like else {"v": tag, **filled} if tag else filled
        case inspect.UnionType(types=types):
            return greatest(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item, max_length=most):
            return [greatest(item)] * (most or 0)
        case inspect.DictType(
            key_type=inspect.StrType(pattern=str(), max_length=length), value_type=value, max_length=most
        ):
            return {f"{i:0{length}}": greatest(value) for i in range(most or 0)}
        case inspect.DictType(key_type=inspect.StrType(max_length=length), value_type=value, max_length=most):
            return {chr(0x10000 + i) * (length or 0): greatest(value) for i in range(most or 0)}
        case inspect.DictType(value_type=value, max_length=most):
            return {2**31 - 1 - i: greatest(value) for i in range(most or 0)}
        case inspect.StrType(pattern=str(), max_length=most):
            return "x" * (most or 0)
        case inspect.StrType(max_length=most):
            return "\N{OCTOPUS}" * (most or 0)
        case inspect.BytesType(max_length=most):
            return b"\xff" * (most or 0)
        case inspect.IntType(le=most, lt=limit):
            return most if most is not None else (limit or 0) - 1
        case inspect.FloatType(le=most):
            return float(most or 0)
        case inspect.BoolType():
            return True
        case inspect.EnumType(cls=cls):
            return max((one.value for one in cls), key=len)
    raise TypeError(f"no greatest value for {kind}: add one here")


@pytest.mark.parametrize("message_type", TYPES, ids=lambda one: one.__name__)
def test_fields_are_all_bounded(message_type):
    assert unbounded(inspect.type_info(message_type), message_type.__name__) == []


@pytest.mark.parametrize("message_type", TYPES, ids=lambda one: one.__name__)
def test_largest_message_is_decoded(message_type):
    value = msgpack.packb(greatest(inspect.type_info(message_type)))
    assert isinstance(codec.decode(message_type, value), message_type)


@pytest.mark.parametrize("message_type", TYPES, ids=lambda one: one.__name__)
def test_largest_message_fits_its_topic(message_type):
    value = msgpack.packb(greatest(inspect.type_info(message_type)))
    assert len(value) <= (MAX_DEAD_LETTER_BYTES if message_type is DeadLetter else MAX_RECORD_BYTES)


@pytest.mark.parametrize(("message_type", "most"), [(Event, MAX_MESSAGE_BYTES), (Recommendation, MAX_RECORD_BYTES)])
def test_oversized_value_is_refused_undecoded(message_type, most):
    with pytest.raises(Refused) as refused:
        codec.decode(message_type, b"\x81" + b"\xff" * most)
    assert refused.value.code is Refusal.TOO_LARGE


VALID = {"v": 1, "id": "e", "user": "ann", "kind": "rate", "ts": 1, "item": "i", "value": 3}
VALID_ITEM = {"v": 1, "id": "i", "title": "t"}


@pytest.mark.parametrize(
    ("message_type", "valid", "wrong"),
    [
        (Event, VALID, {"id": ""}),
        (Event, VALID, {"id": "x" * 129}),
        (Event, VALID, {"user": "x" * 129}),
        (Event, VALID, {"user": 7}),
        (Event, VALID, {"user": None}),
        (Event, VALID, {"user": b"ann"}),
        (Event, VALID, {"item": ""}),
        (Event, VALID, {"scene": ""}),
        (Event, VALID, {"scene": "x" * 33}),
        (Event, VALID, {"kind": "LIKE"}),
        (Event, VALID, {"kind": 1}),
        (Event, VALID, {"ts": -1}),
        (Event, VALID, {"ts": 2**53 + 1}),
        (Event, VALID, {"ts": 2**63}),
        (Event, VALID, {"ts": 1.5}),
        (Event, VALID, {"ts": "1"}),
        (Event, VALID, {"ts": True}),
        (Event, VALID, {"value": -0.1}),
        (Event, VALID, {"value": 5.1}),
        (Event, VALID, {"value": math.nan}),
        (Event, VALID, {"value": math.inf}),
        (Event, VALID, {"text": "x" * 281}),
        (Event, VALID, {"target": ""}),
        (Event, VALID, {"list": "x" * 129}),
        (Event, VALID, {"v": True}),
        (Event, VALID, {"v": "1"}),
        (Event, VALID, {"v": 0}),
        (Event, VALID, {"v": -1}),
        (Item, VALID_ITEM, {"title": "x" * 301}),
        (Item, VALID_ITEM, {"text": "x" * 4001}),
        (Item, VALID_ITEM, {"attributes": ["x"] * 33}),
        (Item, VALID_ITEM, {"attributes": ["x" * 65]}),
        (Item, VALID_ITEM, {"image": [0.0] * 2049}),
        (Item, VALID_ITEM, {"image": [math.nan]}),
        (Item, VALID_ITEM, {"audio": [-math.inf]}),
        (Item, VALID_ITEM, {"audio": [1e39]}),
    ],
    ids=repr,
)
def test_field_outside_its_bounds_is_refused(message_type, valid, wrong):
    codec.decode(message_type, msgpack.packb(valid))
    with pytest.raises(Refused) as refused:
        codec.decode(message_type, msgpack.packb(valid | wrong))
    assert refused.value.code is Refusal.INVALID
    assert next(iter(wrong)) in refused.value.detail or "v" in wrong


@pytest.mark.parametrize("field", ["id", "user", "kind", "ts"])
def test_missing_field_is_refused(field):
    with pytest.raises(Refused, match=field):
        codec.decode(Event, msgspec.msgpack.encode({name: VALID[name] for name in VALID if name != field}))
