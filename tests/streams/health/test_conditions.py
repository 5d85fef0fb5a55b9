"""Conditions found in the brokers' answers: cause, topic and next step."""

import pytest

from schemas.topics import CONTEXTS, COVISITS, EVENTS, ITEMS, NEIGHBOURS
from streams.health.conditions import EVERYTHING, FOLDING, GROUP_DENIED, NOT_ASKED, Survey, TopicFacts, assess

READ, WRITE = 1 << 3, 1 << 4


def survey(**changed: TopicFacts) -> Survey:
    """All topics in order, except the named ones (`events` for ouzel.events)."""
    whole = TopicFacts(id=b"1" * 16, partitions=4, operations=READ | WRITE)
    return Survey({**dict.fromkeys(EVERYTHING, whole), **{f"ouzel.{name}": facts for name, facts in changed.items()}})


def found(of: Survey) -> list[tuple[str, str]]:
    return [(each.cause, each.topic) for each in assess(of, EVERYTHING, "ouzel", "User ann")]


def test_healthy_or_unknown_survey_has_no_conditions() -> None:
    assert found(survey()) == found(NOT_ASKED) == []


@pytest.mark.parametrize(
    ("of", "cause", "topic"),
    [
        (survey(items=TopicFacts(error=3)), "missing", ITEMS.name),
        (survey(items=TopicFacts(error=29)), "permission", ITEMS.name),
        (survey(contexts=TopicFacts(partitions=4, operations=READ)), "permission", CONTEXTS.name),
        (survey(events=TopicFacts(partitions=6)), "partitions", CONTEXTS.name),
        (survey(covisits=TopicFacts(partitions=6)), "partitions", NEIGHBOURS.name),
        (survey(neighbours=TopicFacts(partitions=6)), "partitions", COVISITS.name),
        (survey(events=TopicFacts(partitions=4, leaderless=(2,))), "brokers", EVENTS.name),
        (survey(events=TopicFacts(error=5)), "brokers", EVENTS.name),
        (Survey(group_error=GROUP_DENIED), "permission", ""),
        (Survey(group_operations=WRITE), "permission", ""),
    ],
)
def test_condition_is_found_alone(of: Survey, cause: str, topic: str) -> None:
    assert found(of) == [(cause, topic)]


def test_denied_right_names_user_right_and_command() -> None:
    (denied,) = assess(survey(contexts=TopicFacts(partitions=4, operations=0)), EVERYTHING, "ouzel", "User ann")
    assert denied.text.startswith("User ann is not allowed to read or write ouzel.contexts: ")
    assert "--allow-principal User:ann --operation Read --operation Write --topic ouzel.contexts`" in denied.text


def test_more_contexts_than_events_are_no_condition() -> None:
    assert found(survey(contexts=TopicFacts(partitions=9))) == []


def test_folding_worker_needs_no_items() -> None:
    assert assess(survey(items=TopicFacts(error=3)), FOLDING, "ouzel", "User ann") == []
