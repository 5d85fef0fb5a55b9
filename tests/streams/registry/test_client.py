"""Asking a schema registry: answers, failures, and bounds."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from schemas.errors import Refused
from streams.clock import Clock
from streams.errors import BadSetting, RegistryFailed
from streams.registry import client
from streams.registry.client import MAX_ANSWER_BYTES, UNKNOWN_SECONDS, Schemas
from streams.secret import Secret
from streams.settings import MappingRun
from tests.support.schema_registry import Registry, schema_registry

STRING = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}'


class Time:
    """A clock that tests set; pauses pass at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clock = Clock(now_ms=lambda: 0, monotonic=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def registry() -> Iterator[Registry]:
    with schema_registry() as running:
        running.add(1, '{"type": "object"}', "JSON")
        yield running


@pytest.fixture
def answers() -> list[str]:
    return []


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def schemas(registry: Registry, answers: list[str], time: Time) -> AsyncIterator[Schemas]:
    made = Schemas(MappingRun(registry=registry.address + "/"), time.clock, answers.append)
    yield made
    await made.close()


async def test_schema_is_requested_and_decodes(schemas: Schemas, registry: Registry, answers: list[str]) -> None:
    await schemas.fetch(1)
    assert schemas.decoders[1](b'{"a":1}') == {"a": 1}
    assert (registry.requests, answers) == (["/schemas/ids/1"], ["schema"])


async def test_unknown_schema_is_refused_and_asked_for_again_later(
    schemas: Schemas, registry: Registry, answers: list[str], time: Time
) -> None:
    await schemas.fetch(2)
    with pytest.raises(Refused, match="does not know its schema, 2"):
        schemas.decoders[2](b"")
    assert len(registry.requests) == 3, "its replicas may be behind"
    schemas.forget_unknown()
    assert 2 in schemas.decoders
    time.now += UNKNOWN_SECONDS
    schemas.forget_unknown()
    assert 2 not in schemas.decoders
    registry.add(2, "{}", "JSON")
    await schemas.fetch(2)
    assert schemas.decoders[2](b"[]") == []
    assert answers == ["unknown", "schema"]


async def test_many_unknown_schemas_are_asked_for_once_each(schemas: Schemas, registry: Registry) -> None:
    for number in range(100, 120):
        await schemas.fetch(number)
    assert len(registry.requests) == 8 * 3 + 12


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, b"", "answered with 500: look at its log"),
        (301, b"", "answered with 301"),
        (404, b"<html>", "answered with 404"),
        (403, b"", "refused the login (403): check OUZEL_MAPPING_REGISTRY_USER"),
        (200, b"<html>", "does not answer like one: check its address"),
        (200, b'{"schema": 1}', "does not answer like one"),
        (200, b"{" + b" " * MAX_ANSWER_BYTES, "sent more than 1,000,000 bytes"),
    ],
)
async def test_wrong_answer_makes_records_wait(
    schemas: Schemas, registry: Registry, answers: list[str], *, status: int, body: bytes, says: str
) -> None:
    registry.broken = status, body
    with pytest.raises(RegistryFailed) as error:
        await schemas.fetch(1)
    assert says in str(error.value)
    assert "Its records wait." in str(error.value)
    assert (answers, schemas.decoders) == (["failed"], {})


async def test_registry_that_is_away_makes_records_wait(time: Time) -> None:
    away = Schemas(MappingRun(registry="http://127.0.0.1:1"), time.clock)
    with pytest.raises(RegistryFailed, match="does not answer"):
        await away.fetch(1)
    await away.close()


async def test_login_is_sent_and_not_shown(registry: Registry, time: Time) -> None:
    registry.login = "key:hunter2"
    settings = MappingRun(registry=registry.address, registry_user="key", registry_password=Secret("hunter2"))
    found = Schemas(settings, time.clock)
    await found.fetch(1)
    assert 1 in found.decoders
    registry.login = "key:other"
    with pytest.raises(RegistryFailed) as error:
        await found.fetch(2)
    assert "hunter2" not in str(error.value)
    await found.close()


async def test_schemas_are_bounded(schemas: Schemas, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_SCHEMAS", 3)
    for number in range(1, 6):
        registry.add(number, "{}", "JSON")
        await schemas.fetch(number)
    assert list(schemas.decoders) == [3, 4, 5]


async def test_schema_that_cannot_be_used_refuses_its_records(
    schemas: Schemas, registry: Registry, answers: list[str]
) -> None:
    registry.add(3, "no descriptor", "PROTOBUF")
    await schemas.fetch(3)
    with pytest.raises(Refused, match="its schema 3 cannot be used: it is no file descriptor"):
        schemas.decoders[3](b"")
    assert answers == ["unusable"]


async def test_schema_that_names_others_is_decoded_with_them(schemas: Schemas, registry: Registry) -> None:
    pytest.importorskip("fastavro", reason="fastavro is not installed")
    registry.add(5, STRING)
    registry.add(
        6, '{"type": "record", "name": "S", "fields": [{"name": "r", "type": "R"}]}', references=(("R", "s5"),)
    )
    await schemas.fetch(6)
    assert schemas.decoders[6](b"\x02x") == {"r": {"a": "x"}}
    assert registry.requests == ["/schemas/ids/6", "/subjects/s5/versions/1"]


async def test_references_are_bounded(schemas: Schemas, registry: Registry, answers: list[str]) -> None:
    registry.add(7, "{}", references=tuple((f"n{number}", "s1") for number in range(40)))
    await schemas.fetch(7)
    assert answers == ["unusable"]
    registry.add(8, "{}", references=(("n", "nowhere"),))
    await schemas.fetch(8)
    assert answers == ["unusable"] * 2


@pytest.mark.parametrize("address", ["registry:8081", "ftp://registry", "http://", "http://a b", "http://u:p@registry"])
def test_address_is_checked(address: str) -> None:
    with pytest.raises(BadSetting, match="OUZEL_MAPPING_REGISTRY"):
        MappingRun(registry=address)


def test_settings_have_the_names_of_their_variables() -> None:
    made: Any = MappingRun(file="m.toml")
    assert made.file == "m.toml"
