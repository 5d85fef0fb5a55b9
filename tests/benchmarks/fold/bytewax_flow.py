"""The job in Bytewax. Arguments: brokers, topic, group, folder, partitions, changelog, and "bare" or nothing.

Uses `stateful_batch`, which is faster than `stateful_map`, and writes one record per user and batch to the changelog.
Bytewax commits to its recovery store: once a second, every changed state and the offsets, in SQLite. "bare" omits that:
a restart then begins at the first event with empty states, so it is not the whole job.
"""

import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main

from tests.benchmarks.fold.job import State, decode, decode_state, encode_state, fold

brokers, topic, _, folder, _, changelog, *bare = sys.argv[1:]


class UserState(StatefulBatchLogic[bytes, bytes, bytes]):
    """One user's state; a batch of their events gives at most one new value."""

    def __init__(self, saved: bytes | None) -> None:
        self.state = None if saved is None else decode_state(saved)

    def on_batch(self, values: list[bytes]) -> tuple[Iterable[bytes], bool]:
        new = False
        for value in values:
            event = decode(value)
            if self.state is None:
                self.state = State(event.user)
            new |= fold(self.state, event)
        return ([encode_state(self.state)] if new and self.state is not None else ()), self.RETAIN

    def snapshot(self) -> bytes:
        return encode_state(self.state)


def keyed(message: KafkaSourceMessage[bytes, bytes]) -> tuple[str, bytes]:
    return message.key.decode(), message.value


flow = Dataflow("fold")
source = kop.input("events", flow, brokers=[brokers], topics=[topic])
users = op.map("keyed", source.oks, keyed)
contexts = op.stateful_batch("context", users, UserState)
records = op.map("record", contexts, lambda pair: KafkaSinkMessage(pair[0].encode(), pair[1]))
kop.output("changelog", records, brokers=[brokers], topic=changelog)

recovery = None
if not bare:
    store = Path(folder) / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    recovery = RecoveryConfig(store)
cluster_main(flow, [], 0, epoch_interval=timedelta(seconds=1), recovery_config=recovery)
