"""The evolution rule, on a message type with three versions."""

from typing import Any

import msgpack
import msgspec
import pytest
from msgspec import Struct

from schemas import topics
from schemas.errors import Refusal, Refused
from schemas.reader import Reader

DUMPS = [msgpack.packb, msgspec.json.encode]


class Note1(Struct, frozen=True, kw_only=True, tag_field="v", tag=1):
    text: str


class Note2(Struct, frozen=True, kw_only=True, tag_field="v", tag=2):
    """`text` became `words`."""

    words: tuple[str, ...]


class Note3(Struct, frozen=True, kw_only=True, tag_field="v", tag=3):
    """`words` became a number."""

    words: int


def split(note: Note1) -> Note2:
    return Note2(words=tuple(note.text.split()))


def count(note: Note2) -> Note3:
    return Note3(words=len(note.words))


FIRST = Reader(Note1, max_bytes=1000)
SECOND = Reader(Note2, max_bytes=1000, previous=Note1, upgrade=split)
THIRD = Reader(Note3, max_bytes=1000, previous=Note2, upgrade=count)

OF_VERSION: dict[int, dict[str, Any]] = {
    1: {"v": 1, "text": "a b"},
    2: {"v": 2, "words": ["a", "b"]},
    3: {"v": 3, "words": 2},
}


@pytest.mark.parametrize("dump", DUMPS)
def test_reader_reads_its_version_and_the_one_before(dump):
    assert FIRST.read(dump(OF_VERSION[1])) == Note1(text="a b")
    assert SECOND.read(dump(OF_VERSION[2])) == SECOND.read(dump(OF_VERSION[1])) == Note2(words=("a", "b"))
    assert THIRD.read(dump(OF_VERSION[3])) == THIRD.read(dump(OF_VERSION[2])) == Note3(words=2)


@pytest.mark.parametrize("dump", DUMPS)
def test_version_may_be_anywhere_in_the_map(dump):
    backwards = {name: OF_VERSION[1][name] for name in reversed(OF_VERSION[1])}
    assert SECOND.read(dump(backwards)) == Note2(words=("a", "b"))


@pytest.mark.parametrize("dump", DUMPS)
def test_missing_version_means_version_1(dump):
    assert FIRST.read(dump({"text": "a b"})) == Note1(text="a b")
    assert SECOND.read(dump({"text": "a b"})) == Note2(words=("a", "b"))


@pytest.mark.parametrize("dump", DUMPS)
def test_missing_version_never_means_a_later_one(dump):
    with pytest.raises(Refused) as refused:
        SECOND.read(dump({"words": ["a", "b"]}))
    assert refused.value.code is Refusal.INVALID
    with pytest.raises(Refused, match="version 1 is older than 2"):
        THIRD.read(dump({"words": 2}))


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize(("reader", "version"), [(FIRST, 2), (FIRST, 3), (SECOND, 3)])
def test_newer_version_is_refused_despite_other_errors(dump, reader, version):
    newer = OF_VERSION[version]
    for value in (newer, {name: newer[name] for name in reversed(newer)}, newer | {"text": 7}):
        with pytest.raises(Refused) as refused:
            reader.read(dump(value))
        assert refused.value.code is Refusal.NEWER_VERSION
        assert f"version {version}" in refused.value.detail


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize(("reader", "version"), [(THIRD, 1), (THIRD, 0), (FIRST, 0), (FIRST, -1)])
def test_version_before_the_last_two_is_refused(dump, reader, version):
    with pytest.raises(Refused, match=f"version {version} is older") as refused:
        reader.read(dump({"v": version, "text": "a b"}))
    assert refused.value.code is Refusal.INVALID


@pytest.mark.parametrize("digits", [300, 5_000])
def test_huge_version_is_refused_with_a_short_detail(digits):
    with pytest.raises(Refused) as refused:
        FIRST.read(b'{"v":' + b"9" * digits + b"}")
    assert len(refused.value.detail) < 100


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize("version", ["1", 1.5, True, [1], 2**63])
def test_version_is_a_small_whole_number(dump, version):
    with pytest.raises(Refused):
        FIRST.read(dump({"v": version, "text": "a b"}))


def test_wrong_field_of_the_version_before_is_refused_as_invalid():
    with pytest.raises(Refused, match="text") as refused:
        SECOND.read(msgpack.packb({"v": 1, "text": 7}))
    assert refused.value.code is Refusal.INVALID
    with pytest.raises(Refused, match="text"):
        SECOND.read(msgpack.packb({"text": 7}))


def test_reader_takes_one_step_back_with_its_upgrade_or_none():
    with pytest.raises(TypeError, match="follows 2"):
        Reader(Note3, max_bytes=1, previous=Note1, upgrade=count)
    with pytest.raises(TypeError, match="upgrade"):
        Reader(Note2, max_bytes=1, previous=Note1)


def test_message_types_all_have_a_version():
    for topic in topics.ALL:
        if topic.value is not None:
            assert Reader(topic.value, max_bytes=1).version >= 1
    with pytest.raises(TypeError, match="no version"):
        Reader(type("Bare", (Struct,), {}), max_bytes=1)
