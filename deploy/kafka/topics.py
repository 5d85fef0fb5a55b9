"""Create the topics of the contract, describe them on a cluster, and compare the two."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from deploy.errors import DeployError, TopicsDiffer
from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import not_allowed, topic_states, user_of
from schemas.limits import MAX_DEAD_LETTER_BYTES
from schemas.topics import ALL, CONTEXTS, COVISITS, DEAD_LETTERS, EVENTS, ITEMS, NEIGHBOURS, PRIVACY, Topic

TOPIC_ALREADY_EXISTS, NOT_ALLOWED, NOT_ALLOWED_HERE = 36, 29, 31
"""Error codes of brokers; the last one is for the whole cluster."""

COMPACTED = {
    "cleanup.policy": "compact",
    # Superseded records are compacted within an hour, which also bounds the time to erase a user.
    "max.compaction.lag.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.1",
    # A worker that was away for less than a day still reads every tombstone.
    "delete.retention.ms": "86400000",
}


@dataclass(frozen=True)
class TopicState:
    """One topic on the cluster. `partitions` is 0 if it does not exist; `policy` is "" if unknown."""

    name: str
    partitions: int
    policy: str
    internal: bool


def partitions_of(topic: Topic, events: int, items: int) -> int:
    """The number of partitions for `topic`: as many as events or items have, or one."""
    return {"events": events, "items": items, "one": 1}[topic.partitions]


def settings(topic: Topic) -> dict[str, str]:
    """The topic's settings; all others are the brokers' defaults."""
    chosen = dict(COMPACTED) if topic.compacted else {"cleanup.policy": "delete"}
    if topic is PRIVACY:
        # A completed order is of no further use, and it contains a user id: expire it by time too.
        chosen["cleanup.policy"] = "compact,delete"
    if topic is DEAD_LETTERS:
        # A record is its value plus less than 4 KiB.
        chosen["max.message.bytes"] = str(MAX_DEAD_LETTER_BYTES + 4096)
    return chosen


async def create(
    bootstrap: str,
    *,
    events_partitions: int = 4,
    items_partitions: int = 4,
    replication: int = 1,
    connection: Mapping[str, Any] = PLAIN,
    timeout: float = TIMEOUT_SECONDS,
) -> list[str]:
    """Create the missing topics of the contract; return their names.

    `connection` holds further options of an aiokafka client: encryption and a login; `timeout` is the limit in seconds
    for the whole call. A topic that must have as many partitions as an existing one gets that number. Raises
    `TopicsDiffer` if an existing topic has a wrong number of partitions or cleanup policy, and `DeployError` if the
    cluster refuses to create one.
    """
    made = []
    async with admin(bootstrap, connection, timeout) as client:
        wanted = {topic.name: partitions_of(topic, events_partitions, items_partitions) for topic in ALL}
        there = await topic_states(client, wanted)
        for follower, leader in FOLLOWERS.items():
            if there[leader] > 0:
                wanted[follower] = there[leader]
        new = [
            NewTopic(topic.name, wanted[topic.name], replication, topic_configs=settings(topic))
            for topic in ALL
            if there[topic.name] <= 0
        ]
        if new:
            reply = await client.create_topics(new, timeout_ms=int(timeout * 1000))
            denied = [name for name, code, *_ in reply.topic_errors if code in (NOT_ALLOWED, NOT_ALLOWED_HERE)]
            if denied:
                raise not_allowed(bootstrap, user_of(connection), dict.fromkeys(denied, "Create"))
            for name, code, *detail in reply.topic_errors:
                if code == 0:
                    made.append(name)
                elif code != TOPIC_ALREADY_EXISTS:
                    why = detail[0] if detail and detail[0] else for_code(code).__name__
                    raise DeployError(
                        f"topic {name} could not be created at {bootstrap}: {why} Check the brokers' limits, and "
                        "--replication, which needs as many brokers."
                    )
    differs = differences(await describe(bootstrap, connection, timeout), events_partitions, items_partitions)
    if differs:
        raise TopicsDiffer("\n".join(differs))
    return made


async def describe(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> list[TopicState]:
    """The state of each topic on the cluster, in the contract's order. Raises `DeployError`."""
    async with admin(bootstrap, connection, timeout) as client:
        found = await topic_states(client, [topic.name for topic in ALL])
        denied = [name for name, state in found.items() if state < 0]
        if denied:
            raise not_allowed(bootstrap, user_of(connection), dict.fromkeys(denied, "Describe"))
        policies = await _policies(client, [name for name, state in found.items() if state])
    return [TopicState(t.name, found[t.name], policies.get(t.name, ""), t.internal) for t in ALL]


async def _policies(client: Any, names: list[str]) -> dict[str, str]:
    if not names:
        return {}
    # All settings of each topic: the embedded broker closes the connection when asked for a setting by name.
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, None) for name in names]
    found: dict[str, str] = {}
    for reply in await client.describe_configs(asked):
        for code, _, _, name, entries in reply.resources:
            if code == 0:
                found[name] = next((entry[1] for entry in entries if entry[0] == "cleanup.policy"), "")
    return found


FOLLOWERS = {CONTEXTS.name: EVENTS.name, NEIGHBOURS.name: COVISITS.name, COVISITS.name: NEIGHBOURS.name}
"""Topics that must have as many partitions as another. All others may have any number."""


def differences(states: Iterable[TopicState], events: int, items: int) -> list[str]:
    """The changes that these topics need before a worker can serve them, one sentence each.

    `events` and `items` are the requested numbers of partitions. No step undoes another.
    """
    there = {state.name: state for state in states if state.partitions}
    counts = {name: state.partitions for name, state in there.items()}
    found = []
    for topic, option, asked in ((EVENTS, "--events-partitions", events), (ITEMS, "--items-partitions", items)):
        has = counts.get(topic.name, asked)
        if has != asked:
            found.append(
                f"topic {topic.name} has {has} partitions, but {asked} were requested. To keep them: {option} {has}."
                + (_growing(topic, asked) if asked > has else "")
            )
    for follower, leader in ((CONTEXTS, EVENTS), (NEIGHBOURS, COVISITS), (COVISITS, NEIGHBOURS)):
        if follower.name not in counts or leader.name not in counts:
            continue
        has, needs = counts[follower.name], counts[leader.name]
        if has < needs:
            found.append(
                f"topic {follower.name} has {has} partitions but needs {needs}, as {leader.name} has. Add them with "
                f"`kafka-topics.sh --alter --topic {follower.name} --partitions {needs}`; running workers pick them up."
            )
    return [*found, *filter(None, map(_policy, there.values()))]


def _growing(topic: Topic, asked: int) -> str:
    """How to add partitions, and what that costs."""
    names = [topic.name, *(follower for follower, leader in FOLLOWERS.items() if leader == topic.name)]
    steps = ", then ".join(f"`kafka-topics.sh --alter --topic {name} --partitions {asked}`" for name in names)
    cost = " Users whose events move to another partition start with a new context." if topic is EVENTS else ""
    return f" To get {asked}: {steps}.{cost}"


def _policy(state: TopicState) -> str:
    """The error in the topic's cleanup policy; empty if it is right."""
    topic = next(topic for topic in ALL if topic.name == state.name)
    if not state.policy or ("compact" in state.policy) == topic.compacted:
        return ""
    policy = "compact" if topic.compacted else "delete"
    return (
        f"topic {state.name} has cleanup.policy={state.policy} but needs {policy}. Set it with "
        f"`kafka-configs.sh --alter --entity-type topics --entity-name {state.name} --add-config "
        f"cleanup.policy={policy}`."
    )


@asynccontextmanager
async def admin(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> AsyncIterator[Any]:
    """A started admin client, closed on exit. Raises `DeployError` if no broker answers within `timeout` seconds."""
    async with asking(bootstrap, connection, seconds=timeout, rights={}):
        client = AIOKafkaAdminClient(**{**connection, "bootstrap_servers": bootstrap})
        try:
            await client.start()
            yield client
        finally:
            await ended(client)
