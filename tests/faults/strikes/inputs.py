"""Faults of the input: poison, floods of one user, and wrong clocks, of producers and of the worker."""

import asyncio
import time
from random import Random

import msgspec

from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.limits import MAX_MESSAGE_BYTES
from tests.faults.load import ITEMS, now_ms
from tests.faults.schedule import Fault
from tests.faults.stage import Stage
from tests.support.topics import Sent

FLOOD = 1_500
MINUTE, HOUR = 60_000, 3_600_000
SKEWS_MS = (-720 * HOUR, -HOUR, MINUTE // 2, HOUR, 720 * HOUR)
"""Offsets of producers' clocks. More than five minutes ahead is refused; each offset is refused or accepted alike by
the machine's clock and by the worker's stepped clock."""

STEPS_SECONDS = ((-240.0, -30.0), (30.0, 500.0))


async def poison(stage: Stage, fault: Fault) -> float:
    await stage.load.send(poisonous(Random(fault.seed), fault.number))
    return time.monotonic()


async def flood(stage: Stage, fault: Fault) -> float:
    """Send many events of one user at once."""
    draw, now = Random(fault.seed), now_ms()
    kinds = (EventKind.VIEW, EventKind.CLICK, EventKind.LIKE)
    events = [
        Event(
            id=f"flood-{fault.number}-{n}",
            user="hot",
            kind=draw.choice(kinds),
            ts=now,
            item=f"film-{draw.randrange(ITEMS)}",
            scene="home",
        )
        for n in range(FLOOD)
    ]
    await stage.load.send((b"hot", encode(event)) for event in events)
    return time.monotonic()


async def clock_stepped(stage: Stage, fault: Fault) -> float:
    """Step the worker's clock and back; meanwhile producers with wrong clocks send events."""
    draw, now = Random(fault.seed), now_ms()
    clocks = [stage.clock_of(name) for name in stage.workers]
    for clock in clocks:
        clock.write_text(str(draw.uniform(*draw.choice(STEPS_SECONDS))))
    events = [
        Event(
            id=f"clock-{fault.number}-{n}",
            user=f"skewed-{n % 5}",
            kind=EventKind.LIKE,
            ts=now + draw.choice(SKEWS_MS),
            item=f"film-{draw.randrange(ITEMS)}",
            scene="home",
        )
        for n in range(40)
    ]
    await stage.load.send((event.user.encode(), encode(event)) for event in events)
    await asyncio.sleep(fault.hold)
    for clock in clocks:
        clock.write_text("0")
    return time.monotonic()


def poisonous(draw: Random, number: int) -> list[Sent]:
    """Unusable records of every sort."""
    good = Event(id=f"poison-{number}", user="ann", kind=EventKind.LIKE, ts=now_ms(), item="film-1", scene="home")
    fields = msgspec.to_builtins(good)

    def packed(**changes: object) -> bytes:
        return msgspec.msgpack.encode({**fields, **changes})

    records: list[Sent] = [
        (None, b""),
        (b"ann", None),
        (b"ann", b""),
        (b"ann", b"\x91" * 5_000),  # nested past any stack
        (b"ann", b"[" * 5_000),
        (b"ann", b"\xdf\xff\xff\xff\xff"),  # a map with 2^32 - 1 entries
        (b"ann", packed(ts=float("nan"))),
        (b"ann", packed(ts=-1)),
        (b"ann", packed(ts=2**63)),
        (b"ann", packed(v=99)),
        (b"ann", packed(kind="explode")),
        (b"ann", packed(item="x" * 10_000)),
        (b"ann", packed(item="film\x00-1")),
        (b"ann", packed(user="bob")),
        (b"\xff\xfe", packed()),
        (b"ann", b"{" + b'"id":"\xff"' + b"}"),
        (b"ann", b" " * (MAX_MESSAGE_BYTES + 1)),
        (b"ann", draw.randbytes(900_000)),
    ]
    records += [(b"ann", draw.randbytes(draw.randrange(1, 200))) for _ in range(60)]
    draw.shuffle(records)
    return records
