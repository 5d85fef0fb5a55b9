"""Fuzz all readers of untrusted bytes: `python -m tests.fuzz.contract --runs 1000000 --seed 1`.

Half of the inputs go to the decoders of the contract, the others to the targets of `tests.fuzz.targets`: the fold,
orders, items, the model's requests, state, settings, files. `--only NAME` selects one; `tests.fuzz.http` fuzzes the
pages.

Inputs are valid values in MessagePack and JSON that were damaged, spliced, nested or given other fields, and random
noise. A decoder must return a message that survives a round trip, or raise `Refused` with a short detail. Anything else
ends the run with the input, as does an input that takes longer than `SLOWEST_SECONDS`.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgpack
import msgspec

from schemas import codec
from schemas.errors import Refused
from schemas.events import Event
from schemas.items import Item
from schemas.limits import MAX_DETAIL_LENGTH
from schemas.privacy import ErasureOrder
from tests.fuzz.damage import damaged
from tests.fuzz.targets import TARGETS, corpus
from tests.schemas.examples import EXAMPLES, NOW

CONTRACT = "contract"
SHARE = sum(target.share for target in TARGETS.values())
ALL = (CONTRACT, *TARGETS)
CORPUS = {name: corpus(name) for name in TARGETS}

SLOWEST_SECONDS = 5.0
"""Maximum CPU time of an input, which does not depend on other processes; inputs usually take milliseconds."""

VALUES: list[Any] = [None, True, -1, 0, 1, 2, 2**31, 2**53, 2**63, 1.5, 1e300, "", "x", "x" * 129, "\x00", "\U0001f419"]
OTHERS = [codec.encode(message) for message in EXAMPLES.values()]
VALUES += ["like", "steer", "forget", b"", b"\xff", [], [None], {}, {"v": 1}, [[[]]], ["a"] * 33]


def read(kind: type[msgspec.Struct], key: bytes, value: bytes) -> msgspec.Struct:
    """Decode `value` like a worker: input types with the decoder that checks the key, other types by type."""
    if kind is Event:
        return codec.decode_event(value, key=key, now_ms=NOW)
    if kind is Item:
        return codec.decode_item(value, key=key)
    if kind is ErasureOrder:
        return codec.decode_order(value, key=key)
    return codec.decode(kind, value)


def altered(plain: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The map with fields removed, added, or set to arbitrary values."""
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


def other_input(rng: random.Random, name: str) -> bytes:
    """An input for a target: one of its seeds or corpus files, damaged or altered; or noise."""
    seeds = [*TARGETS[name].seeds, *CORPUS[name]]
    seed = rng.choice(seeds)
    roll = rng.random()
    if roll < 0.03:
        return nested(rng)
    if roll < 0.08:
        return rng.randbytes(rng.choice((0, 1, 8, 64, 1_000)))
    if roll < 0.3:
        with suppress(msgpack.UnpackException, ValueError):
            plain = msgpack.unpackb(seed, strict_map_key=False)
            if isinstance(plain, dict):
                return bytes(msgpack.packb(altered(plain, rng)))
    return damaged(seed, [*seeds, *OTHERS], rng)


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


def run(
    runs: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
    only: Sequence[str] = (CONTRACT,),
) -> Counter[str]:
    """Counts of the outcomes of `runs` inputs to the targets `only`: by refusal code for the contract, by target and
    outcome for the others. Raises `AssertionError`, with the input, on the first failure."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    shares = [SHARE if name == CONTRACT else TARGETS[name].share for name in only]
    for done in range(runs):
        (name,) = rng.choices(only, shares)
        kind, key, value = inputs(rng) if name == CONTRACT else (None, b"", other_input(rng, name))
        what = name if kind is None else kind.__name__
        started = time.process_time()
        try:
            outcome = tried(kind, key, value) if kind else f"{name}: {TARGETS[name].tried(value)}"
        except Exception as error:
            raise AssertionError(f"{what} from {value.hex()} after {done} of seed {seed}: {error!r}") from error
        if time.process_time() - started > SLOWEST_SECONDS:
            raise AssertionError(f"{what} from {value.hex()} was slow, after {done} of seed {seed}")
        outcomes[outcome] += 1
        if done % 10_000 == 0:
            progress(done)
    return outcomes


def tried(kind: type[msgspec.Struct], key: bytes, value: bytes) -> str:
    """The outcome of one input: a refusal code, or "accepted"."""
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
    parser.add_argument("--only", choices=ALL, action="append", help="one target (again for more; default all)")
    asked = parser.parse_args()
    started = time.monotonic()

    def progress(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {asked.runs:,} inputs", end="", file=sys.stderr)

    outcomes = run(asked.runs, asked.seed, progress, asked.only or ALL)
    print(f"\n{asked.runs:,} inputs of seed {asked.seed} in {time.monotonic() - started:.0f} s; nothing broke")
    for outcome, count in outcomes.most_common():
        print(f"{count:>10,}  {outcome}")


if __name__ == "__main__":
    main()
