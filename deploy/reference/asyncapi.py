"""The AsyncAPI 3.0 description of the public topics, made from the contract. Pure."""

from typing import Any

import msgspec

from schemas import topics
from schemas.topics import EVENTS, ITEMS, PRIVACY, Topic

REF = "#/components/schemas/{name}"
READ = frozenset({EVENTS.name, ITEMS.name, PRIVACY.name})
"""What workers read of others. They write the other topics."""

DESCRIPTION = (
    "What Ouzel's workers read and write on Kafka. Values are MessagePack maps; those that workers read may be JSON "
    "objects too. Bytes are raw in MessagePack, and base64 here."
)


def asyncapi() -> dict[str, Any]:
    """The description, as plain data."""
    public = [topic for topic in topics.ALL if topic.value is not None and not topic.internal]
    kinds = [topic.value for topic in public if topic.value is not None]
    _, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Ouzel", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/msgpack",
        "channels": {topic.name: _channel(topic) for topic in public},
        "operations": {_operation_name(topic): _operation(topic) for topic in public},
        "components": {"messages": {kind.__name__: _message(kind) for kind in kinds}, "schemas": schemas},
    }


def as_json() -> str:
    return msgspec.json.format(msgspec.json.encode(asyncapi()), indent=2).decode() + "\n"


def _channel(topic: Topic) -> dict[str, Any]:
    assert topic.value is not None
    name = topic.value.__name__
    policy = ["compact"] if topic.compacted else ["delete"]
    key = (
        "The key of the original record." if topic is topics.DEAD_LETTERS else f"The field `{topic.key}` of the value."
    )
    return {
        "address": topic.name,
        "description": f"Keyed by: {key[0].lower()}{key[1:]}",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": policy}, "bindingVersion": "0.5.0"}},
    }


def _operation_name(topic: Topic) -> str:
    words = topic.name.partition(".")[2].split("-")
    return ("read" if topic.name in READ else "write") + "".join(map(str.title, words))


def _operation(topic: Topic) -> dict[str, Any]:
    return {
        "action": "receive" if topic.name in READ else "send",
        "channel": {"$ref": f"#/channels/{topic.name}"},
    }


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {"name": kind.__name__, "payload": {"$ref": REF.format(name=kind.__name__)}}
