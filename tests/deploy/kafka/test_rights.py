"""Messages for topics that are missing, forbidden or without a leader, from a broker's answers."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from deploy.errors import DeployError
from deploy.kafka.asking import explained
from deploy.kafka.rights import check_topics, leaderless, not_allowed, topic_states, user_of
from inference.triton.ports import free_ports

SERVED: tuple[Any, ...] = (0, 0, 1, [1], [1])
IDLE: tuple[Any, ...] = (5, 1, -1, [2], [])
"""Error, number, leader, replicas and replicas in sync of a partition."""


class Client:
    """Answers with these topics; the first of its two brokers is away."""

    def __init__(self, *topics: tuple[Any, ...]) -> None:
        self.cluster = SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=1), SimpleNamespace(nodeId=2)])
        self._topics = topics

    async def send(self, node: int, request: Any) -> Any:
        if node == 1:
            raise KafkaConnectionError
        return SimpleNamespace(topics=self._topics)


async def test_topics_are_there_missing_or_forbidden() -> None:
    client = Client((0, "a", False, [SERVED, IDLE]), (3, "b", False, []), (29, "c", False, []))
    states = await topic_states(client, ["a", "b", "c"])
    assert (states["a"], states["b"]) == (2, 0)
    assert states["c"] < 0
    assert await leaderless(client, ["a", "b", "c"]) == ["a/1"]
    assert await check_topics(client, "k:1", {}, {"a": "Read"}) == {"a": 2}
    with pytest.raises(DeployError, match="there is no topic b at k:1"):
        await check_topics(client, "k:1", {}, {"a": "Read", "b": "Read"})
    with pytest.raises(DeployError, match="not allowed to Write c at k:1 as user svc"):
        await check_topics(client, "k:1", {"sasl_plain_username": "svc"}, {"b": "Read", "c": "Write"})


async def test_unreachable_brokers_raise_an_error() -> None:
    client = Client()
    client.cluster.brokers = lambda: [SimpleNamespace(nodeId=1)]
    with pytest.raises(KafkaConnectionError):
        await topic_states(client, ["a"])


@pytest.mark.parametrize(
    ("connection", "user"),
    [
        ({}, "ANONYMOUS"),
        ({"security_protocol": "SASL_SSL", "sasl_plain_username": "svc"}, "svc"),
        ({"security_protocol": "SSL"}, "<that of the certificate>"),
    ],
)
def test_rights_are_granted_to_the_login(connection: dict[str, str], user: str) -> None:
    assert user_of(connection) == user
    assert f"--allow-principal User:{user} --operation Read --topic t" in str(not_allowed("k:1", user, {"t": "Read"}))


async def test_denied_topic_is_named() -> None:
    rights = {"ouzel.privacy": "Write", "ouzel.privacy-receipts": "Read"}
    for error in (
        TopicAuthorizationFailedError("ouzel.privacy-receipts"),
        TopicAuthorizationFailedError({"ouzel.privacy-receipts"}),
    ):
        said = await explained(error, "k:1", {}, seconds=1, rights=rights)
        assert "not allowed to Read ouzel.privacy-receipts at k:1" in str(said)
    said = await explained(TopicAuthorizationFailedError(), "k:1", {}, seconds=1, rights=rights)
    assert "Write ouzel.privacy, Read ouzel.privacy-receipts" in str(said)


async def test_unreachable_brokers_are_named_with_the_cause() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    said = await explained(TimeoutError(), address, {}, seconds=1, rights={})
    assert f"no broker answers at {address} (connection refused)" in str(said)
