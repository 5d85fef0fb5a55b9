"""A schema as a registry has it."""

from typing import NamedTuple


class Schema(NamedTuple):
    """`text` is the schema: JSON for Avro, a base64 file descriptor for Protobuf. Others refer to it by `name`."""

    name: str
    text: str


class BadSchema(Exception):
    """A schema cannot be used. The text says why, without quoting it."""
