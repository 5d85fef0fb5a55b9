"""The records in a partition's state, the same on disk and on the changelog: their keys and types."""

from collections.abc import Callable
from typing import Any

import msgspec

from schemas.blends import BlendPart
from streams.fold.attribution import Exposure
from streams.fold.context import Context
from streams.kafka.recreated_topics import EventsTopic
from streams.privacy.erasure import Erasure, Versions
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend
from streams.ranking.gain import Gain
from streams.state.store import (
    BLEND,
    CONTEXT,
    ERASURE,
    EXPOSURE,
    GAIN,
    HEAD_BYTES,
    ITEM_SECRET,
    KEY,
    PART,
    SESSIONS,
    TOPIC,
    VERSIONS,
    header,
)


class PseudonymKey(msgspec.Struct, frozen=True, array_like=True):
    """The key that users' pseudonyms are made with, by its fingerprint."""

    fingerprint: bytes


class ItemSecret(msgspec.Struct, frozen=True, array_like=True):
    """The secret that marks items (`streams.fold.marking`). `mixed`: there may be marks from before it, too."""

    secret: bytes
    mixed: bool = False


encode_value = msgspec.msgpack.Encoder().encode
"""The bytes of a value, without its envelope."""

_DECODE: dict[bytes, Callable[[bytes | memoryview], Any]] = {
    CONTEXT: msgspec.msgpack.Decoder(Context).decode,
    EXPOSURE: msgspec.msgpack.Decoder(Exposure).decode,
    PART: msgspec.msgpack.Decoder(BlendPart).decode,
    BLEND: msgspec.msgpack.Decoder(Blend).decode,
    GAIN: msgspec.msgpack.Decoder(Gain).decode,
    VERSIONS: msgspec.msgpack.Decoder(Versions).decode,
    ERASURE: msgspec.msgpack.Decoder(Erasure).decode,
    KEY: msgspec.msgpack.Decoder(PseudonymKey).decode,
    ITEM_SECRET: msgspec.msgpack.Decoder(ItemSecret).decode,
    TOPIC: msgspec.msgpack.Decoder(EventsTopic).decode,
    SESSIONS: msgspec.msgpack.Decoder(Sessions).decode,
}


def decode_value(key: bytes, envelope: bytes) -> Any:
    """The object in an envelope from the store or the changelog. The key's prefix determines its type."""
    return _DECODE[key[:1]](memoryview(envelope)[HEAD_BYTES:])


def check_entry(key: bytes, envelope: bytes) -> None:
    """Raise if the envelope is not a value of this key. An unknown kind passes: a later version may write it."""
    header(envelope)
    if key[:1] in _DECODE:
        decode_value(key, envelope)


def decode_payload(key: bytes, payload: bytes | None) -> Any:
    """The object in bytes without an envelope; None of None."""
    return None if payload is None else _DECODE[key[:1]](payload)


def context_key(user: str) -> bytes:
    return CONTEXT + user.encode()


def exposure_key(user: str) -> bytes:
    return EXPOSURE + user.encode()


def versions_key(user: str) -> bytes:
    return VERSIONS + user.encode()


def part_key(scene: str) -> bytes:
    return PART + scene.encode()


def blend_key(scene: str) -> bytes:
    return BLEND + scene.encode()


def gain_key(scene: str) -> bytes:
    return GAIN + scene.encode()


def keys_of(user: str) -> tuple[bytes, ...]:
    """All keys of a user."""
    return context_key(user), exposure_key(user), versions_key(user)
