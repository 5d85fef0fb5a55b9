"""The cost of decoding an event: `python -m tests.benchmarks.codec`.

Decodes the same events, in MessagePack and in JSON, with `decode_event`; with msgspec alone, without the checks of key,
clock, kind and characters; and with the plain `msgpack` and `json` packages, followed by the same checks in Python.
Each figure is the fastest of several rounds, which alternate so that a busy machine affects all alike.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec

from schemas.codec import decode_event, encode
from schemas.events import Event, EventKind
from schemas.limits import MAX_CLOCK_SKEW_MS, MAX_MESSAGE_BYTES

NOW = 1_790_000_000_000
LENGTHS = {"id": 128, "user": 128, "item": 128, "scene": 32, "text": 280, "target": 128, "list": 128}
KINDS = {kind.value for kind in EventKind}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Decode = Callable[[bytes, bytes], Any]


def events(count: int, seed: int) -> list[Event]:
    """Events as in a shop: mostly views and clicks, some with the list that the user was looking at."""
    rng = random.Random(seed)
    kinds = [EventKind.VIEW] * 6 + [EventKind.CLICK] * 3 + [EventKind.LIKE, EventKind.RATE]
    made = []
    for number in range(count):
        kind = rng.choice(kinds)
        made.append(
            Event(
                id=f"{rng.getrandbits(64):016x}-{number}",
                user=f"user-{rng.randrange(100_000)}",
                kind=kind,
                ts=NOW - rng.randrange(1_000),
                item=f"item-{rng.randrange(10_000)}",
                scene="home",
                value=4.0 if kind is EventKind.RATE else None,
                list=f"list-{number}" if rng.random() < 0.3 else None,
            )
        )
    return made


def checked(plain: Any, key: bytes, size: int) -> dict[str, Any]:
    """The checks of the contract on a plain map, in Python."""
    if size > MAX_MESSAGE_BYTES or not isinstance(plain, dict) or plain.get("v", 1) != 1:
        raise ValueError("not an event of version 1")
    for name, most in LENGTHS.items():
        text = plain.get(name)
        if text is not None and (not isinstance(text, str) or not 0 < len(text) <= most or CONTROL.search(text)):
            raise ValueError(name)
    kind, ts, rating = plain.get("kind"), plain.get("ts"), plain.get("value")
    if kind not in KINDS or "id" not in plain or "user" not in plain:
        raise ValueError("kind")
    if not isinstance(ts, int) or not 0 <= ts <= NOW + MAX_CLOCK_SKEW_MS:
        raise ValueError("ts")
    if rating is not None and not (isinstance(rating, int | float) and 0 <= rating <= 5):
        raise ValueError("value")
    needs = {"steer": ("text",), "forget": ("target",), "rate": ("item", "value")}.get(kind, ("item",))
    if any(plain.get(name) is None for name in needs) or plain["user"].encode() != key:
        raise ValueError("a field or the key")
    return plain


def best_ns(decode: Decode, records: list[tuple[bytes, bytes]]) -> float:
    started = time.perf_counter_ns()
    for value, key in records:
        decode(value, key)
    return (time.perf_counter_ns() - started) / len(records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=30)
    asked = parser.parse_args()
    made = events(asked.events, seed=1)
    packed = [(encode(event), event.user.encode()) for event in made]
    text = [(msgspec.json.encode(event), event.user.encode()) for event in made]
    bare_packed, bare_text = msgspec.msgpack.Decoder(Event).decode, msgspec.json.Decoder(Event).decode
    ways: dict[str, tuple[Decode, list[tuple[bytes, bytes]]]] = {
        "MessagePack: decode_event": (lambda value, key: decode_event(value, key=key, now_ms=NOW), packed),
        "MessagePack: msgspec, no further checks": (lambda value, key: bare_packed(value), packed),
        "MessagePack: msgpack, checks by hand": (
            lambda value, key: checked(msgpack.unpackb(value), key, len(value)),
            packed,
        ),
        "JSON: decode_event": (lambda value, key: decode_event(value, key=key, now_ms=NOW), text),
        "JSON: msgspec, no further checks": (lambda value, key: bare_text(value), text),
        "JSON: json, checks by hand": (lambda value, key: checked(json.loads(value), key, len(value)), text),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(asked.rounds):
        for name, (decode, records) in ways.items():
            best[name] = min(best[name], best_ns(decode, records))
    sizes = [sum(len(value) for value, _ in records) / len(records) for records in (packed, text)]
    print(f"{asked.events:,} events of {sizes[0]:.0f} bytes in MessagePack, {sizes[1]:.0f} in JSON")
    for name in ways:
        base = best[name.partition(":")[0] + ": decode_event"]
        print(f"{name:42}{best[name] / 1000:8.2f} us {best[name] / base:6.2f} x")


if __name__ == "__main__":
    main()
