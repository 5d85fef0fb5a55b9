"""What a mapping costs beside the fold: `python -m tests.benchmarks.mapping`.

First without a broker: the same events, in Ouzel's own MessagePack and as other systems write them, through
`decode_event`, through mappings, and through the fold of a worker (`fold_batch`, contexts in memory); the fold also of
what a mapping writes. Then, on the embedded broker, whole processes: `ouzel mapping run` from another topic to
`ouzel.events`, and a worker that only folds these. Records per second of processor time; parts alternate, and each
figure is the best of the rounds.
"""

import argparse
import asyncio
import gc
import io
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka.admin import NewTopic

from deploy.kafka.topics import admin, create
from deploy.local.brokers import EmbeddedBroker
from inference.triton.ports import free_ports
from schemas.codec import decode_event, encode
from schemas.events import Event
from streams.fold.attribution import Exposure
from streams.fold.batch import fold_batch
from streams.fold.context import EMPTY
from streams.fold.draft import Draft
from streams.mapping.mapping import read_mapping
from streams.mapping.outcomes import Mapped
from streams.settings import throwaway
from tests.benchmarks.codec import NOW
from tests.benchmarks.codec import events as many_users
from tests.benchmarks.fold.measuring import cpu_seconds
from tests.support.mapping_process import MappingProcess
from tests.support.schema_registry import framed
from tests.support.topics import send_all
from tests.support.workers import WITHOUT_MODEL, Worker

PEOPLE = 1_000
"""Users: each has many events, as in a partition of a busy topic."""

FIELDS = """
user = "userId"
item = "payload.items[0].id"
kind = { path = "eventType", map = { view = "view", click = "click", like = "like", rate = "rate" } }
ts = { path = "occurredAt", unit = "s" }
scene = "page"
value = "stars"
"""
HEAD = '[[events]]\ntopic = "clicks"\n'
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "userId", "type": "string"},
        {"name": "eventType", "type": "string"},
        {"name": "occurredAt", "type": "long"},
        {"name": "page", "type": "string"},
        {"name": "stars", "type": ["null", "double"]},
        {"name": "payload", "type": {"type": "record", "name": "Payload", "fields": [
            {"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
                {"name": "id", "type": "string"}]}}}]}},
    ],
}  # fmt: skip


class Record(NamedTuple):
    """A consumed record."""

    offset: int
    key: bytes | None
    value: bytes
    topic: str = "clicks"
    partition: int = 0
    timestamp: int = NOW
    headers: tuple[Any, ...] = ()


class State:
    """What the fold looks up, in memory."""

    erased_to = -1

    def __init__(self) -> None:
        self.drafts: dict[str, Draft] = {}
        self.none = Exposure()

    def draft(self, user: str) -> Draft:
        found = self.drafts.get(user)
        if found is None:
            found = self.drafts[user] = Draft(EMPTY)
        return found

    def exposure(self, user: str) -> Exposure:
        return self.none

    def versions(self, user: str) -> Any:
        raise NotImplementedError

    def erasure(self, order: bytes) -> Any:
        return None

    def erased(self, user: str, offset: int) -> bool:
        return False


def events(count: int, seed: int) -> list[Event]:
    return [
        msgspec.structs.replace(each, user=f"user-{number * 7919 % PEOPLE}", list=None)
        for number, each in enumerate(many_users(count, seed))
    ]


def foreign(event: Event) -> dict[str, Any]:
    """An event as another system has it."""
    return {
        "userId": event.user,
        "eventType": event.kind.value,
        "occurredAt": event.ts // 1_000,
        "page": event.scene,
        "stars": event.value,
        "payload": {"items": [{"id": event.item}]},
    }


def forms(made: list[Event]) -> dict[str, tuple[str, list[bytes], Any]]:
    """By name, the mapping, the values, and the decoders of schemas, of each form that is measured."""
    rows = [foreign(each) for each in made]
    found: dict[str, tuple[str, list[bytes], Any]] = {
        "JSON": (HEAD + FIELDS, [msgspec.json.encode(row) for row in rows], {}),
        "MessagePack": (HEAD + 'format = "msgpack"' + FIELDS, [msgspec.msgpack.encode(row) for row in rows], {}),
        "Debezium": (
            HEAD + 'envelope = "debezium"' + FIELDS,
            [msgspec.json.encode({"op": "c", "before": None, "after": row, "ts_ms": NOW}) for row in rows],
            {},
        ),
    }
    if find_spec("fastavro") is not None:
        import fastavro

        from streams.registry.avro import avro_decoder
        from streams.registry.schemas import Schema

        parsed, values = fastavro.parse_schema(SCHEMA), []
        for row in rows:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, row)
            values.append(framed(1, out.getvalue()))
        decoders = {1: avro_decoder(Schema("s", msgspec.json.encode(SCHEMA).decode()), [])}
        found["Avro"] = (HEAD + 'format = "avro"' + FIELDS, values, decoders)
    return found


def parts(made: list[Event]) -> tuple[dict[str, Callable[[], None]], int]:
    """What is measured, by name, and how many records each goes through."""

    def folding(records: list[Record]) -> Callable[[], None]:
        def fold() -> None:
            state = State()
            for at in range(0, len(records), 1_000):
                fold_batch(records[at : at + 1_000], state, partition=0, now_ms=NOW, window_ms=60_000)

        return fold

    def mapping(function: Any, records: list[Record]) -> Callable[[], None]:
        def go() -> None:
            for record in records:
                function(record, NOW)

        return go

    def decoding(records: list[Record]) -> Callable[[], None]:
        def go() -> None:
            for record in records:
                decode_event(record.value, key=record.key, now_ms=NOW)

        return go

    own = [Record(number, event.user.encode(), encode(event)) for number, event in enumerate(made)]
    ways = {"fold, own events": folding(own), "decode_event, own events": decoding(own)}
    for name, (text, values, decoders) in forms(made).items():
        (function,) = read_mapping(text, decoders).topics["clicks"]
        records = [Record(number, None, value) for number, value in enumerate(values)]
        ways[f"mapping, {name}"] = mapping(function, records)
        if name == "JSON":
            written = [
                Record(number, outcome.key, outcome.value)
                for number, outcome in enumerate(function(record, NOW) for record in records)
                if isinstance(outcome, Mapped) and outcome.value is not None
            ]
            assert len(written) == len(made)
            ways["fold, mapped events"] = folding(written)
    return ways, len(made)


def in_memory(made: list[Event], rounds: int) -> None:
    ways, count = parts(made)
    best = dict.fromkeys(ways, float("inf"))
    gc.freeze()  # as a worker does
    for _ in range(rounds):
        for name, go in ways.items():
            gc.collect()
            started = time.process_time()
            go()
            best[name] = min(best[name], time.process_time() - started)
    print(f"{count:,} events, best of {rounds} rounds")
    base = count / best["fold, own events"]
    for name, seconds in best.items():
        print(f"{name:28}{count / seconds:12,.0f} a core-second {count / seconds / base:6.2f} x the fold")


def on_a_broker(made: list[Event]) -> None:
    """Measure whole processes."""
    rows = [(event.user.encode(), msgspec.json.encode(foreign(event))) for event in made]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker(folder / "broker").start())
        asyncio.run(create(broker.bootstrap))
        asyncio.run(_make(broker.bootstrap))
        asyncio.run(send_all(broker.bootstrap, rows, "clicks"))
        (folder / "mapping.toml").write_text(HEAD + FIELDS)
        port, web = free_ports(2)
        given = {"mapping": str(folder / "mapping.toml"), "mapping_port": port, "web_port": web, "duties": "contexts"}
        settings = throwaway(broker.bootstrap, state_dir=folder / "state", **given)
        mapper = stack.enter_context(MappingProcess(settings, folder / "mapping.log"))
        mapped = _per_core_second(mapper, "ouzel_mapped_records_total", len(rows))
        mapper.stop()
        worker = stack.enter_context(Worker(settings, folder / "worker.log", command=WITHOUT_MODEL))
        folded = _per_core_second(worker, "ouzel_events_total", len(rows))
        worker.stop()
    print(f"{len(rows):,} records on the embedded broker, whole processes once they have started")
    for name, each in (("worker that folds", folded), ("ouzel mapping run", mapped)):
        print(f"{name:28}{each:12,.0f} a core-second {each / folded:6.2f} x the fold")


def _per_core_second(process: Any, metric: str, count: int) -> float:
    """Records per second of a process's processor time, from its first records until its metric has the count."""
    begun: tuple[float, float] | None = None
    while (done := process.metric(metric)) < count:
        assert process.running(), process.tail(20)
        if begun is None and done:
            begun = done, cpu_seconds(process.pid)
        time.sleep(0.02)
    assert begun is not None, "too fast to be measured: send more records"
    return (count - begun[0]) / (cpu_seconds(process.pid) - begun[1])


async def _make(bootstrap: str) -> None:
    async with admin(bootstrap) as client:
        await client.create_topics([NewTopic("clicks", 4, 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--records", type=int, default=100_000, help="Records on the broker; 0: no broker.")
    asked = parser.parse_args()
    in_memory(events(asked.events, seed=1), asked.rounds)
    if asked.records:
        on_a_broker(events(asked.records, seed=2))


if __name__ == "__main__":
    main()
