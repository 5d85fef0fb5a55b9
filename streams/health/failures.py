"""Causes of failures, for the log and the metrics. Pure."""

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
)

from streams.errors import StreamsError
from streams.health.conditions import CAUSES

DENIED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)


def cause_of(error: BaseException) -> str:
    """The cause as a metric label (`CAUSES`); of several the first, so a failing disk before all."""
    if isinstance(error, BaseExceptionGroup):
        return min(map(cause_of, error.exceptions), key=CAUSES.index)
    if isinstance(error, StreamsError):
        return error.cause
    if isinstance(error, DENIED):
        return "permission"
    if isinstance(error, UnsupportedCodecError):
        return "codec"
    if isinstance(error, UnknownTopicOrPartitionError):
        return "missing"
    return "brokers" if isinstance(error, KafkaError) else "other"


def passes(error: BaseException) -> bool:
    """Whether the same work can succeed later without a change here: brokers come back, rights are granted."""
    return bool(getattr(error, "retriable", False)) or isinstance(error, DENIED)


def describe(error: BaseException) -> list[str]:
    """The types of an error or of a group of errors, without their text, which may name a user. Our errors in full, and
    for a missing permission the topic or group."""
    if isinstance(error, BaseExceptionGroup):
        return [each for inner in error.exceptions for each in describe(inner)]
    if isinstance(error, StreamsError):
        return [f"{type(error).__name__}: {error}"]
    if isinstance(error, DENIED):
        return [f"{type(error).__name__} ({', '.join(_names(error))})"]
    return [type(error).__name__]


def topic_of(error: BaseException) -> str:
    """The topic to which access is denied, if the error names one."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(topic_of, error.exceptions)), "")
    return _names(error)[0] if isinstance(error, TopicAuthorizationFailedError) and error.args else ""


def _names(error: BaseException) -> list[str]:
    """The topics or the group of a permission error: aiokafka gives one, or a set."""
    found: list[str] = []
    for each in error.args:
        found += [each] if isinstance(each, str) else sorted(map(str, each))
    return found or ["of what, the broker does not say"]
