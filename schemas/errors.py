"""Refusals: why a record could not be used.

ContractError
└── Refused         carries a `Refusal` code and one line of detail; the bytes go to `ouzel.dead-letters`
"""

from enum import StrEnum


class Refusal(StrEnum):
    """The reason code of a dead letter."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    INVALID = "invalid"
    NEWER_VERSION = "newer_version"
    FUTURE = "future"
    KEY_MISMATCH = "key_mismatch"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class ContractError(Exception):
    """Base class of the errors that this package raises."""


class Refused(ContractError):
    """The record cannot be used. `code` says why; `detail` is one line for the operator."""

    def __init__(self, code: Refusal, detail: str) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code
        self.detail = detail
