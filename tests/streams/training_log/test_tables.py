"""Messages are the same after a table and a Parquet file, and files of other versions are read or refused."""

from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from schemas.events import Event
from schemas.feedback import Feedback
from streams.errors import NewerLog
from streams.training_log.files import parquet
from streams.training_log.tables import Row, rows_of, schema_of, table_of
from tests.schemas.examples import EXAMPLES
from tests.schemas.strategies import messages
from tests.streams.training_log.world import event

PLACES = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(-(2**63), 2**63 - 1))


def stored(table: pa.Table) -> pa.Table:
    return pq.read_table(pa.BufferReader(parquet(table)))


@pytest.mark.parametrize("message", [Event, Feedback])
@given(data=st.data())
@settings(max_examples=60)
def test_messages_are_the_same_after_a_file(message: type[msgspec.Struct], data: st.DataObject) -> None:
    rows = [Row(*data.draw(PLACES), each) for each in data.draw(st.lists(messages(message), max_size=4))]
    table = table_of(message, rows)
    assert table.schema.equals(schema_of(message), check_metadata=True)
    assert list(rows_of(message, stored(table))) == rows


def test_examples_are_the_same_after_a_file() -> None:
    for message in (Event, Feedback):
        examples = [each for each in EXAMPLES.values() if isinstance(each, message)]
        rows = [Row(1, at, 5, each) for at, each in enumerate(examples)]
        assert len(rows) >= 2
        assert list(rows_of(message, stored(table_of(message, rows)))) == rows


def test_table_is_readable_without_ouzel() -> None:
    table = stored(table_of(Event, [Row(3, 7, 9, event(1, value=None))]))
    (row,) = table.to_pylist()
    assert (row["partition"], row["offset"], row["logged"]) == (3, 7, 9)
    assert (row["user"], row["kind"], row["item"], row["scene"], row["value"]) == (
        "ann",
        "like",
        "alien",
        "default",
        None,
    )
    assert table.schema.metadata[b"ouzel.message"] == b"Event"


def test_field_that_a_file_lacks_has_its_default() -> None:
    table = stored(table_of(Event, [Row(0, 0, 0, event(1))])).drop_columns(["scene", "list"])
    ((_, _, _, read),) = rows_of(Event, table)
    assert read == event(1)


def test_column_of_a_later_version_is_ignored() -> None:
    table = table_of(Event, [Row(0, 0, 0, event(1))])
    table = table.append_column("mood", pa.array(["good"]))
    ((_, _, _, read),) = rows_of(Event, stored(table))
    assert read == event(1)


def test_messages_of_another_version_are_refused() -> None:
    table = table_of(Event, [Row(0, 0, 0, event(1))])
    newer = table.replace_schema_metadata({**table.schema.metadata, b"ouzel.version": b"2"})
    with pytest.raises(NewerLog, match="upgrade Ouzel"):
        list(rows_of(Event, stored(newer)))


def test_type_without_a_column_is_refused() -> None:
    class Odd(msgspec.Struct, tag_field="v", tag=1):
        by_name: Annotated[dict[str, int], Meta(max_length=3)]

    with pytest.raises(TypeError, match="no column type"):
        schema_of(Odd)


def test_null_within_a_list_has_the_default_too() -> None:
    class Inner(msgspec.Struct):
        name: str
        weight: float = 0.5

    class Outer(msgspec.Struct, tag_field="v", tag=1):
        inner: tuple[Inner, ...]

    table = table_of(Outer, [Row(0, 0, 0, Outer((Inner("a", 1.0), Inner("b"))))])
    without = pa.table({"inner": pa.array([[{"name": "c", "weight": None}]], table.schema.field("inner").type),
                        **{name: [0] for name in ("partition", "offset", "logged")}})  # fmt: skip
    assert [row.message for row in rows_of(Outer, table)] == [Outer((Inner("a", 1.0), Inner("b", 0.5)))]
    assert [row.message for row in rows_of(Outer, without)] == [Outer((Inner("c", 0.5),))]
