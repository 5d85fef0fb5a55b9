"""The job in Quix Streams. Arguments: brokers, topic, group, folder, partitions, changelog."""

import sys
from typing import Any

from quixstreams import Application

from tests.benchmarks.fold.job import State, decode, decode_state, encode_state, fold

brokers, topic, group, folder, _, _ = sys.argv[1:7]

app = Application(
    broker_address=brokers,
    consumer_group=group,
    state_dir=folder,
    auto_offset_reset="earliest",
    commit_interval=1.0,
    consumer_extra_config={"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000},
    producer_extra_config={"linger.ms": 20},
    loglevel="WARNING",
)


def context(value: bytes, state: Any) -> None:
    event = decode(value)
    held = state.get_bytes("context")
    current = State(event.user) if held is None else decode_state(held)
    if fold(current, event):
        state.set_bytes("context", encode_state(current))


app.dataframe(app.topic(topic, key_deserializer="bytes", value_deserializer="bytes")).update(context, stateful=True)
app.run()
