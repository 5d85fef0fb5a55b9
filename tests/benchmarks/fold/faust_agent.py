"""The job as a Faust agent with a table. Arguments: brokers, topic, group, folder, partitions, changelog."""

import sys
from typing import Any

import faust

from tests.benchmarks.fold.job import State, decode, decode_state, encode_state, fold

brokers, topic, group, folder, partitions, _ = sys.argv[1:7]
RAW: dict[str, Any] = {"key_type": bytes, "value_type": bytes}

app = faust.App(
    group,
    broker=f"kafka://{brokers}",
    datadir=folder,
    store="memory://",
    autodiscover=False,
    key_serializer="raw",
    value_serializer="raw",
    web_enabled=False,
    topic_partitions=int(partitions),
    topic_disable_leader=True,
    broker_commit_interval=1.0,
    broker_session_timeout=6.0,
    broker_rebalance_timeout=6.0,
    broker_heartbeat_interval=1.0,
    broker_request_timeout=90.0,
    consumer_auto_offset_reset="earliest",
    producer_linger=0.02,
    stream_wait_empty=False,
)
events = app.topic(topic, acks=True, **RAW)
contexts = app.Table("contexts", partitions=int(partitions), **RAW)


@app.agent(events)
async def context(stream: faust.StreamT[bytes]) -> None:
    async for key, value in stream.items():
        event = decode(value)
        held = contexts.get(key)
        state = State(event.user) if held is None else decode_state(held)
        if fold(state, event):
            contexts[key] = encode_state(state)


app.Worker(loglevel="warning", redirect_stdouts=False, quiet=True).execute_from_commandline()
