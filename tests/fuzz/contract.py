"""Throw bytes at every reader of the contract: `python -m tests.fuzz.contract --runs 1000000 --seed 1`.

Inputs are valid values in MessagePack and JSON that were damaged, spliced, given other fields or nested, and plain
noise. A reader answers with a message, which must come back the same from its own bytes, or with `Refused` and a short
detail. Anything else ends the run with the input, as does an input that takes longer than `SLOWEST_SECONDS`.
"""

import argparse
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec

from schemas import codec
from schemas.errors import Refused
from schemas.events import Event
from schemas.items import Item
from schemas.limits import MAX_DETAIL_LENGTH
from schemas.privacy import ErasureOrder
from tests.schemas.examples import EXAMPLES, NOW

SLOWEST_SECONDS = 5.0
"""Far above what any input takes (milliseconds), so that a busy machine does not fail a run; a hang does."""

HEADERS = [
    *(bytes([byte]) for byte in (0xC0, 0xC1, 0xC2, 0xC3, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xE0, 0xFF, 0x00, 0x7F)),
    *(bytes([byte]) + struct.pack(">I", size) for byte in (0xC6, 0xC9, 0xDB, 0xDD, 0xDF) for size in (0, 9, 2**32 - 1)),
    *(b"\xcb" + struct.pack(">d", number) for number in (float("nan"), float("inf"), -0.0, 1e308, 5e-324)),
    *(b"\xcf" + struct.pack(">Q", number) for number in (0, 2**53, 2**63, 2**64 - 1)),
    b"\xd3" + struct.pack(">q", -(2**63)),
    b"\xd6\xff\x00\x00\x00\x00",
    b"\xc7\x0c\xff" + b"\xff" * 12,
]
PIECES = [b'"', b"\\", b"\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b":", b",", b"null", b"1e999", b"-0", b"NaN"]
VALUES: list[Any] = [None, True, -1, 0, 1, 2, 2**31, 2**53, 2**63, 1.5, 1e300, "", "x", "x" * 129, "\x00", "\U0001f419"]
OTHERS = [codec.encode(message) for message in EXAMPLES.values()]
VALUES += ["like", "steer", "forget", b"", b"\xff", [], [None], {}, {"v": 1}, [[[]]], ["a"] * 33]


def read(kind: type[msgspec.Struct], key: bytes, value: bytes) -> msgspec.Struct:
    """Read `value` as a worker would: what others write by the reader that checks its key, all else by its type."""
    if kind is Event:
        return codec.decode_event(value, key=key, now_ms=NOW)
    if kind is Item:
        return codec.decode_item(value, key=key)
    if kind is ErasureOrder:
        return codec.decode_order(value, key=key)
    return codec.decode(kind, value)


def damaged(value: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`value` after a few changes to its bytes."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(value) + 1)
        match rng.randrange(7):
            case 0:
                value = value[:at] + bytes([rng.randrange(256)]) + value[at + 1 :]
            case 1:
                value = value[:at]
            case 2:
                value = value[:at] + rng.choice(HEADERS if value[:1] >= b"\x80" else PIECES) + value[at:]
            case 3:
                value = value[:at] + value[at + rng.randint(1, 8) :]
            case 4:
                other = rng.choice(others)
                value = value[:at] + other[rng.randrange(len(other)) :]
            case 5:
                value = value[:at] + value[at : at + rng.randint(1, 16)] * rng.choice((2, 3, 50)) + value[at:]
            case _:
                if value:
                    at = rng.randrange(len(value))
                    value = value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]
    return value


def altered(plain: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The map with a field taken out, put in, or given a value of any kind."""
    plain = dict(plain)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice([*plain, "v", "unknown"])
        if rng.random() < 0.2:
            plain.pop(name, None)
        else:
            plain[name] = rng.choice(VALUES)
    return plain


def nested(rng: random.Random) -> bytes:
    depth = rng.choice((10, 400, 1_100, 30_000))
    if rng.random() < 0.5:
        return b"\x81\xa1" + rng.choice((b"z", b"v")) + rng.choice((b"\x91", b"\x81\xa1a")) * depth
    return b'{"z":' + rng.choice((b"[", b'{"a":')) * depth


def inputs(rng: random.Random) -> tuple[type[msgspec.Struct], bytes, bytes]:
    """A message type, a key, and a value to try as that type."""
    message = rng.choice(list(EXAMPLES.values()))
    key = str(getattr(message, "user", getattr(message, "id", "")) or "").encode()
    plain = msgspec.to_builtins(message, builtin_types=(bytes,), str_keys=True)
    text = rng.random() < 0.4
    encode = msgspec.json.encode if text else msgpack.packb
    roll = rng.random()
    if roll < 0.01:
        return type(message), key, nested(rng)
    if roll < 0.05:
        return type(message), key, rng.randbytes(rng.choice((1, 2, 8, 64, 1_000)))
    if roll < 0.4:
        return type(message), key, encode(altered(plain, rng))
    return type(message), key, damaged(encode(plain), OTHERS, rng)


def run(runs: int, seed: int, progress: Callable[[int], None] = lambda done: None) -> Counter[str]:
    """What `runs` inputs came to, by refusal code. Raises `AssertionError`, with the input, on the first wrong one."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    for done in range(runs):
        kind, key, value = inputs(rng)
        started = time.perf_counter()
        try:
            outcome = tried(kind, key, value)
        except Exception as error:
            raise AssertionError(
                f"{kind.__name__} from {value.hex()} after {done} of seed {seed}: {error!r}"
            ) from error
        if time.perf_counter() - started > SLOWEST_SECONDS:
            raise AssertionError(f"{kind.__name__} from {value.hex()} was slow, after {done} of seed {seed}")
        outcomes[outcome] += 1
        if done % 10_000 == 0:
            progress(done)
    return outcomes


def tried(kind: type[msgspec.Struct], key: bytes, value: bytes) -> str:
    """What became of one input: a refusal code, or "accepted"."""
    try:
        message = read(kind, key, value)
    except Refused as error:
        refused = error
    else:
        assert codec.decode(kind, codec.encode(message)) == message
        return "accepted"
    assert len(refused.detail) <= MAX_DETAIL_LENGTH
    assert refused.detail.isprintable()
    return refused.code.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs to try (default 100,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed tries the same inputs (default 1)")
    asked = parser.parse_args()
    started = time.monotonic()

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {asked.runs:,} inputs", end="", file=sys.stderr)

    outcomes = run(asked.runs, asked.seed, progress)
    print(f"\n{asked.runs:,} inputs of seed {asked.seed} in {time.monotonic() - started:.0f} s; nothing broke")
    for outcome, count in outcomes.most_common():
        print(f"{count:>10,}  {outcome}")


if __name__ == "__main__":
    main()
