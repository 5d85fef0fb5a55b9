"""Check that topics exist and that the user has the rights on them that a command needs."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import errors as kafka
from aiokafka.protocol.metadata import MetadataRequest

from deploy.errors import DeployError

_UNKNOWN_TOPIC, _NOT_ALLOWED = 3, 29


def user_of(connection: Mapping[str, Any]) -> str:
    """The user that rights are granted to: that of the login. Only the brokers know the user of a certificate."""
    of_certificate = connection.get("security_protocol") == "SSL"
    return str(
        connection.get("sasl_plain_username") or ("<that of the certificate>" if of_certificate else "ANONYMOUS")
    )


def not_allowed(bootstrap: str, who: str, rights: Mapping[str, str]) -> DeployError:
    """The error for missing rights on topics."""
    wanted = ", ".join(f"{right} {topic}" for topic, right in rights.items())
    topic, right = next(iter(rights.items()))
    return DeployError(
        f"not allowed to {wanted} at {bootstrap} as user {who}: grant it (kafka-acls --add --allow-principal "
        f"User:{who} --operation {right} --topic {topic})."
    )


async def check_topics(
    client: Any, bootstrap: str, connection: Mapping[str, Any], rights: Mapping[str, str]
) -> dict[str, int]:
    """The number of partitions of each topic in `rights`. Raises `DeployError` if one is missing or not allowed.

    Never creates a topic, whatever the brokers' settings. `client` is any started aiokafka client.
    """
    states = await topic_states(client, rights)
    denied = {topic: rights[topic] for topic, state in states.items() if state == -_NOT_ALLOWED}
    if denied:
        raise not_allowed(bootstrap, user_of(connection), denied)
    missing = [topic for topic, state in states.items() if state <= 0]
    if missing:
        are = "is no topic" if len(missing) == 1 else "are no topics"
        raise DeployError(f"there {are} {', '.join(missing)} at {bootstrap}. Run `ouzel topics create`.")
    return states


async def topic_states(client: Any, names: Iterable[str]) -> dict[str, int]:
    """The number of partitions of each topic; 0 if it does not exist, -29 if the user may not describe it.

    Raises `KafkaError` if no broker answers.
    """
    wanted = list(names)
    states = dict.fromkeys(wanted, 0)
    for code, name, *_, partitions in await _described(client, wanted):
        if code not in (0, _UNKNOWN_TOPIC, _NOT_ALLOWED):
            raise kafka.for_code(code)(name)
        if name in states:
            states[name] = len(partitions) if code == 0 else -_NOT_ALLOWED if code == _NOT_ALLOWED else 0
    return states


async def leaderless(client: Any, names: Iterable[str]) -> list[str]:
    """The partitions of these topics without a leader, as topic/number. Raises as `topic_states` does."""
    return [
        f"{name}/{number}"
        for _, name, *_, partitions in await _described(client, list(names))
        for _, number, leader, *_ in partitions
        if leader == -1
    ]


async def _described(client: Any, names: list[str]) -> list[Any]:
    """The topics' metadata from the first broker that answers; creates no topic."""
    inner = getattr(client, "client", None) or getattr(client, "_client", None) or client
    error: BaseException = kafka.NodeNotReadyError()
    for node in [broker.nodeId for broker in inner.cluster.brokers()] or ["bootstrap"]:
        try:
            reply = await inner.send(node, MetadataRequest(names, False))
        except (kafka.KafkaError, OSError) as failed:
            error = failed
        else:
            return list(reply.topics)
    raise error
