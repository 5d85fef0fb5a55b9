"""Envelopes around the data of a record: those of Kafka Connect's JSON converter and of Debezium. Pure.

Connect: {"schema": ..., "payload": data}. Debezium: {"op": "c", "before": ..., "after": ..., "source": ...}, which may
be the payload of the former.
"""

from typing import Any, NamedTuple

from schemas.errors import Refusal, Refused

CONNECT, DEBEZIUM = "connect", "debezium"
ENVELOPES = (CONNECT, DEBEZIUM)

OPERATIONS = {"c": "insert", "r": "read by a snapshot", "u": "update", "d": "delete", "t": "truncate", "m": "message"}
"""Debezium's operations."""


class Opened(NamedTuple):
    """The data of a record, its envelope, and the operation: "" without Debezium's envelope."""

    data: Any
    envelope: Any
    operation: str = ""


def of_connect(found: Any) -> Any:
    """The payload of Connect's envelope; anything else unchanged."""
    if type(found) is dict and len(found) == 2 and "schema" in found and "payload" in found:
        return found["payload"]
    return found


def opened(envelope: str, found: Any) -> Opened:
    """Open the envelope. The data of a deletion is the row before it. Raises `Refused`."""
    if envelope == CONNECT:
        if type(found) is not dict or "payload" not in found:
            raise Refused(Refusal.INVALID, "no envelope of Kafka Connect: no `payload`")
        return Opened(found["payload"], found)
    found = of_connect(found)
    if type(found) is not dict or "op" not in found:
        raise Refused(Refusal.INVALID, "no envelope of Debezium: no `op`")
    operation = found["op"]
    if type(operation) is not str or operation not in OPERATIONS:
        raise Refused(Refusal.INVALID, f"an operation that is none of {', '.join(OPERATIONS)} - at `op`")
    return Opened(found.get("before" if operation == "d" else "after"), found, operation)
