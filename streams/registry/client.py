"""The schemas of records, from a schema registry over HTTP, by id.

A schema never changes, so it is requested once; the newest `MAX_SCHEMAS` are held. An id that the registry does not
know, asked `TRIES` times because its replicas may be behind, is asked for again after `UNKNOWN_SECONDS`; until then its
records are refused. Whatever else goes wrong raises `RegistryFailed`: the records wait.
"""

import base64
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from schemas.errors import Refusal, Refused
from schemas.limits import MAX_DETAIL_LENGTH
from streams.clock import Clock
from streams.errors import RegistryFailed
from streams.mapping.formats import JSON, Decode, decoder
from streams.registry.avro import avro_decoder
from streams.registry.protobuf import protobuf_decoder
from streams.registry.schemas import BadSchema, Schema
from streams.settings import variable
from streams.settings.mapping import MappingRun

log = logging.getLogger(__name__)

MAX_SCHEMAS = 1_000
MAX_ANSWER_BYTES = 1_000_000
MAX_REFERENCES = 32
ANSWER_SECONDS = 10.0
"""Maximum time of one request."""

UNKNOWN_SECONDS = 60.0
TRIES, PAUSE_SECONDS = 3, 0.5

MANY_UNKNOWN = 8
"""With this many unknown ids, others are asked for once: a producer may be making them up."""


class _Answer(msgspec.Struct):
    """What a registry says of a schema, by id or by subject and version."""

    schema: str
    schemaType: str = "AVRO"  # noqa: N815 - the registry's name
    references: list["_Reference"] = []


class _Reference(msgspec.Struct):
    """A schema that another one names."""

    name: str
    subject: str
    version: int


_read = msgspec.json.Decoder(_Answer).decode


class Schemas:
    """`decoders` has the decoder of each known schema, by id. `fetch` adds one; `forget_unknown` is to be called now
    and then. `answered` is called with the kind of each answer (`streams.agents.mapping_metrics.ANSWERS`)."""

    def __init__(self, settings: MappingRun, clock: Clock, answered: Callable[[str], object] = lambda _: None) -> None:
        self.decoders: dict[int, Decode] = {}
        self._settings = settings
        self._clock = clock
        self._answered = answered
        self._unknown: dict[int, float] = {}
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, schema: int) -> None:
        """Add the decoder of `schema`: one that refuses every value if the schema is unknown or cannot be used.

        Raises `RegistryFailed`.
        """
        answer, decode = "schema", None
        try:
            decode = await self._decoder(schema)
            for _ in range(1, TRIES if len(self._unknown) < MANY_UNKNOWN else 1):
                if decode is None:
                    await self._clock.sleep(PAUSE_SECONDS)
                    decode = await self._decoder(schema)
        except RegistryFailed:
            self._answered("failed")
            raise
        except BadSchema as error:
            log.error("The schema %d cannot be used: %s", schema, error)
            answer, decode = "unusable", _refusing(f"its schema {schema} cannot be used: {error}")
        if decode is None:
            self._unknown[schema] = self._clock.monotonic()
            answer, decode = "unknown", _refusing(f"the schema registry does not know its schema, {schema}")
        self._answered(answer)
        while len(self.decoders) >= MAX_SCHEMAS:
            oldest = next(iter(self.decoders))
            del self.decoders[oldest]
            self._unknown.pop(oldest, None)
        self.decoders[schema] = decode

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def forget_unknown(self) -> None:
        """Forget unknown schemas that are due: they may have been registered."""
        now = self._clock.monotonic()
        for schema in [each for each, since in self._unknown.items() if now - since >= UNKNOWN_SECONDS]:
            del self._unknown[schema]
            self.decoders.pop(schema, None)

    async def _decoder(self, schema: int) -> Decode | None:
        answer = await self._ask(f"/schemas/ids/{schema}")
        if answer is None:
            return None
        if answer.schemaType == "JSON":
            return decoder(JSON, {})
        serialized = answer.schemaType == "PROTOBUF"
        if serialized:
            answer = await self._ask(f"/schemas/ids/{schema}?format=serialized") or answer
        others: dict[str, Schema] = {}
        await self._collect(answer, others, serialized=serialized)
        made = Schema(f"schema-{schema}", answer.schema)
        return (protobuf_decoder if serialized else avro_decoder)(made, list(others.values()))

    async def _collect(self, answer: _Answer, found: dict[str, Schema], *, serialized: bool) -> None:
        """Add what a schema refers to, each after what it refers to itself."""
        for each in answer.references:
            if each.name in found or each.name.startswith("google/protobuf/"):
                continue
            if len(found) >= MAX_REFERENCES:
                raise BadSchema(f"it refers to more than {MAX_REFERENCES} others")
            where = f"/subjects/{quote(each.subject, safe='')}/versions/{each.version}"
            other = await self._ask(where + ("?format=serialized" if serialized else ""))
            if other is None:
                raise BadSchema("it refers to one that the registry does not have")
            found[each.name] = Schema(each.name, other.schema)
            await self._collect(other, found, serialized=serialized)
            found[each.name] = found.pop(each.name)

    async def _ask(self, where: str) -> _Answer | None:
        """The registry's answer; None if it knows no such schema. Raises `RegistryFailed`."""
        base = self._settings.registry.rstrip("/")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        try:
            async with self._session.get(
                URL(base + where, encoded=True), headers=self._headers(), allow_redirects=False
            ) as reply:
                body = await reply.content.read(MAX_ANSWER_BYTES + 1)
                while not reply.content.at_eof() and len(body) <= MAX_ANSWER_BYTES:
                    body += await reply.content.read(MAX_ANSWER_BYTES + 1 - len(body))
                status = reply.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._failed(f"does not answer ({type(error).__name__})", "check that it runs") from None
        if status == 404 and b"error_code" in body:
            return None
        if status in (401, 403):
            raise self._failed(
                f"refused the login ({status})",
                f"check {variable('mapping_registry_user')} and {variable('mapping_registry_password')}",
            )
        if status != 200 or len(body) > MAX_ANSWER_BYTES:
            told = f"answered with {status}" if status != 200 else f"sent more than {MAX_ANSWER_BYTES:,} bytes"
            raise self._failed(told, "look at its log")
        try:
            return _read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._failed("does not answer like one", "check its address") from None

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        user = self._settings.registry_user
        if user:
            login = f"{user}:{self._settings.registry_password.reveal()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        return headers

    def _failed(self, what: str, step: str) -> RegistryFailed:
        return RegistryFailed(
            f"The schema registry at {self._settings.registry} {what}: {step} ({variable('mapping_registry')}). Its "
            "records wait."
        )


def _refusing(why: str) -> Decode:
    def refuse(_: bytes) -> Any:
        raise Refused(Refusal.INVALID, why[:MAX_DETAIL_LENGTH])

    return refuse
