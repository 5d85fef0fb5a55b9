"""Hypothesis strategies for messages within the bounds, derived from the types."""

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

ANY_TEXT = st.characters(exclude_categories=["Cs"])
PRINTED_TEXT = st.characters(exclude_categories=["Cs", "Cc"])
MOST = 4


def messages(message_type: type[msgspec.Struct], alphabet: st.SearchStrategy[str] = ANY_TEXT) -> st.SearchStrategy[Any]:
    """Messages of a type. Collections are short; all other values cover their whole range."""
    return values(inspect.type_info(message_type), alphabet)


def values(  # noqa: PLR0911, PLR0912 - one case a line
    kind: inspect.Type, alphabet: st.SearchStrategy[str]
) -> st.SearchStrategy[Any]:
    """Values of one inspected type."""
    match kind:
        case inspect.Metadata(type=inner):
            return values(inner, alphabet)
        case inspect.StructType(cls=cls, fields=fields):
            needed = {field.name: values(field.type, alphabet) for field in fields if field.required}
            optional = {field.name: values(field.type, alphabet) for field in fields if not field.required}
            return st.fixed_dictionaries(needed, optional=optional).map(lambda filled: cls(**filled))
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case inspect.StrType(min_length=least, max_length=most):
            return st.text(alphabet, min_size=least or 0, max_size=most)
        case inspect.BytesType(min_length=least):
            return st.binary(min_size=least or 0, max_size=100)
        case inspect.IntType(ge=least, le=most, lt=limit):
            return st.integers(least, most if most is not None else limit - 1 if limit is not None else None)
        case inspect.FloatType(ge=least, le=most):
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case inspect.BoolType():
            return st.booleans()
        case inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case inspect.NoneType():
            return st.none()
        case inspect.UnionType(types=types):
            return st.one_of([values(one, alphabet) for one in types])
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            size = MOST if most is None else min(most, MOST)
            return st.lists(values(item, alphabet), min_size=least or 0, max_size=size).map(tuple)
        case inspect.DictType(key_type=key, value_type=value, max_length=most):
            size = MOST if most is None else min(most, MOST)
            return st.dictionaries(values(key, alphabet), values(value, alphabet), max_size=size)
    raise TypeError(f"no strategy for {kind}: add one here")
