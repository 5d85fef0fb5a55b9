"""Conditions that prevent serving, found in a survey of topics and rights. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.topics import (
    BLENDS,
    COMPARISONS,
    CONTEXTS,
    COVISITS,
    DEAD_LETTERS,
    EVENTS,
    FEEDBACK,
    ITEMS,
    MODEL_ACKS,
    MODELS,
    NEIGHBOURS,
    PRIVACY,
    PRIVACY_RECEIPTS,
    RECOMMENDATIONS,
)

CAUSES = ("disk", "codec", "permission", "missing", "partitions", "recreated", "registry", "brokers", "other")
"""Why something is not served: labels of metrics and alerts. Of several causes the first is reported."""

READ, WRITE = "read", "write"
_BITS = {READ: 1 << 3, WRITE: 1 << 4}
"""Kafka's numbers of these operations, as bits of a client's authorized operations."""

UNKNOWN_TOPIC, TOPIC_DENIED, GROUP_DENIED = 3, 29, 30
"""Kafka's error codes."""

FOLDING: Mapping[str, frozenset[str]] = {
    EVENTS.name: frozenset({READ}),
    CONTEXTS.name: frozenset({READ, WRITE}),
    FEEDBACK.name: frozenset({WRITE}),
    DEAD_LETTERS.name: frozenset({WRITE}),
    PRIVACY_RECEIPTS.name: frozenset({WRITE}),
}
"""The operations on each topic of a worker that only folds."""

EVERYTHING: Mapping[str, frozenset[str]] = {
    **FOLDING,
    EVENTS.name: frozenset({READ, WRITE}),
    ITEMS.name: frozenset({READ}),
    PRIVACY.name: frozenset({READ}),
    COVISITS.name: frozenset({READ, WRITE}),
    NEIGHBOURS.name: frozenset({READ, WRITE}),
    RECOMMENDATIONS.name: frozenset({WRITE}),
    BLENDS.name: frozenset({READ, WRITE}),
    MODELS.name: frozenset({READ}),
    MODEL_ACKS.name: frozenset({WRITE}),
    COMPARISONS.name: frozenset({WRITE}),
}
"""The operations on each topic of a worker with all duties."""


class Condition(NamedTuple):
    """Something that cannot be served: the cause (`CAUSES`), the topic ("" for none), and a text with the next step.
    `partition` is None for a whole topic."""

    cause: str
    topic: str
    text: str
    partition: int | None = None


@dataclass(frozen=True)
class TopicFacts:
    """One topic as the brokers describe it. `id` is empty and `operations` None if unknown."""

    error: int = 0
    id: bytes = b""
    partitions: int = 0
    leaderless: tuple[int, ...] = ()
    operations: int | None = None


@dataclass(frozen=True)
class Survey:
    """The brokers' answers at one time; `topics` is empty if they were not asked."""

    topics: Mapping[str, TopicFacts] = field(default_factory=dict)
    group_error: int = 0
    group_operations: int | None = None

    def partitions(self, topic: str) -> int | None:
        """The number of partitions of a topic; None if unknown."""
        facts = self.topics.get(topic)
        return None if facts is None or facts.error else facts.partitions

    def id_of(self, topic: str) -> bytes:
        """The topic's id; empty if unknown."""
        facts = self.topics.get(topic)
        return b"" if facts is None else facts.id


NOT_ASKED = Survey()


def too_few(survey: Survey, topic: str, following: str, equal: bool = False) -> Condition | None:
    """The condition if `topic` has fewer partitions than `following` (`equal`: another number)."""
    has, needs = survey.partitions(topic), survey.partitions(following)
    if has is None or needs is None or has == needs or (has > needs and not equal):
        return None
    low, high = (topic, following) if has < needs else (following, topic)
    most = max(has, needs)
    return Condition(
        "partitions",
        low,
        f"{high} has {most} partitions and {low} {min(has, needs)}: {low} must have {most} as well. Add them with "
        f"`kafka-topics.sh --alter --topic {low} --partitions {most}`; the worker goes on without a restart.",
    )


def assess(survey: Survey, needs: Mapping[str, frozenset[str]], group: str, user: str) -> list[Condition]:
    """All conditions in the survey that prevent a worker from serving.

    `needs` holds its operations on each topic, `group` is its consumer group, and `user` its identity at the brokers.
    """
    found = [*_of_group(survey, group, user)]
    for topic, operations in needs.items():
        found += _of_topic(survey, topic, operations, user)
    for topic, following, equal in ((CONTEXTS.name, EVENTS.name, False), (NEIGHBOURS.name, COVISITS.name, True)):
        if topic in needs and following in needs:
            differs = too_few(survey, topic, following, equal)
            found += [] if differs is None else [differs]
    return found


def _of_topic(survey: Survey, topic: str, operations: frozenset[str], user: str) -> Iterator[Condition]:
    facts = survey.topics.get(topic)
    if facts is None:
        return
    if facts.error == UNKNOWN_TOPIC:
        yield Condition(
            "missing", topic, f"The topic {topic} does not exist: create the topics with `ouzel topics create`."
        )
    elif facts.error == TOPIC_DENIED:
        yield _denied(user, operations, topic)
    elif facts.error:
        yield Condition(
            "brokers", topic, f"The brokers answer for {topic} with error {facts.error}: look at their log."
        )
    else:
        lacks = _lacking(operations, facts.operations)
        if lacks:
            yield _denied(user, lacks, topic)
        if facts.leaderless:
            some = ", ".join(map(str, facts.leaderless))
            yield Condition(
                "brokers", topic, f"No broker leads partition {some} of {topic}: start the brokers that hold it."
            )


def _of_group(survey: Survey, group: str, user: str) -> Iterator[Condition]:
    denied = survey.group_error == GROUP_DENIED or _lacking(frozenset({READ}), survey.group_operations)
    if denied:
        yield Condition(
            "permission",
            "",
            f"{user} is not allowed to read as the consumer group {group}: allow it with "
            f"`kafka-acls.sh --add --allow-principal {_principal(user)} --operation Read --group {group}`.",
        )


def _lacking(operations: frozenset[str], held: int | None) -> frozenset[str]:
    return frozenset() if held is None else frozenset(each for each in operations if not held & _BITS[each])


def _denied(user: str, operations: frozenset[str], topic: str) -> Condition:
    names = sorted(operations)
    flags = " ".join(f"--operation {each.title()}" for each in names)
    return Condition(
        "permission",
        topic,
        f"{user} is not allowed to {' or '.join(names)} {topic}: allow it with "
        f"`kafka-acls.sh --add --allow-principal {_principal(user)} {flags} --topic {topic}`.",
    )


def _principal(user: str) -> str:
    return user.replace(" ", ":", 1) if user.startswith("User ") else "User:..."
