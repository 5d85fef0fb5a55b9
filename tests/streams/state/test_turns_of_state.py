"""Turns of the event loop: recovering, gathering, writing and sweeping a partition's state hold it only briefly."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.blends import BlendPart
from streams.clock import SYSTEM
from streams.fold.context import Context
from streams.privacy.erasure import Erasure
from streams.state import partition as state_module
from streams.state import write_behind as behind
from streams.state.changelog import Changelog, Recovered
from streams.state.expiry import Sweep
from streams.state.partition import PartitionState
from streams.state.records import decode_value, encode_value
from streams.state.store import ERASURE, MARKER, Store, seal
from tests.streams.state.test_partition import MemoryLog
from tests.support.holding import BOUND, TURN, UNIT, Costly, Hand, Recorded

LONG_AGO = 1_700_000_000_000
LANES, RECORDS = 8, 30
SECRET = b"secret"


async def test_recovery_takes_turns(tmp_path: Path) -> None:
    hand = Hand()
    nonce = b"0123456789abcdef"
    records = [Costly(hand, n, seal(n, LONG_AGO, b"held"), b"c%d" % (n % 90)) for n in range(300)]
    records.append(Costly(hand, 300, b"\x01", MARKER + nonce))

    class Ours(Changelog):
        async def _send(self, updates: Sequence[Any]) -> list[int]:
            return [300 + n for n, _ in enumerate(updates)]

    with Store(tmp_path / "store") as store:
        changelog = Ours(
            "t", 0, store, producer=None, consumer=lambda: Recorded(records), nonce=nonce,
            now_ms=SYSTEM.now_ms, max_age_ms=1, turns=hand.turns,
        )  # fmt: skip
        found: list[Recovered] = []

        async def recover() -> None:
            found.append(await changelog.recover())

        assert await hand.longest_hold(recover()) <= BOUND
        assert found[0].records == 300
        assert {key for key, _ in store.scan(b"", 1_000)} == {b"c%d" % n for n in range(90)}


async def test_gathering_and_writing_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand()

    def costly(value: Any) -> bytes:
        hand.work()
        return encode_value(value)

    class Slow:
        offset = 7

        def encode(self) -> bytes:
            hand.work()
            return encode_value(Context(offset=7, ts=7))

    monkeypatch.setattr(behind, "encode_value", costly)
    store = Store(tmp_path / "store")
    log = MemoryLog(store)
    state = PartitionState(0, store, log, cached=10, now_ms=SYSTEM.now_ms, turns=hand.turns)
    writing = asyncio.create_task(state.run())
    state.note({f"person-{n}": cast(Any, Slow()) for n in range(40)})
    for number in range(40):
        state.set_part(f"scene-{number}", BlendPart(id="0:home", partition=0, scene="home"))

    async def gathered() -> None:
        await (await state.gather(7))

    assert await hand.longest_hold(gathered()) <= BOUND
    assert sum(map(len, log.writes)) == 80
    assert state.written == 7
    writing.cancel()
    await asyncio.wait([writing])
    state.close()


async def test_reading_back_erasure_orders_takes_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand()

    def costly(key: bytes, envelope: bytes) -> Any:
        hand.work()
        return decode_value(key, envelope)

    monkeypatch.setattr(state_module, "decode_value", costly)
    store = Store(tmp_path / "store")
    orders = [Erasure(b"%016d" % n, b"digest", n, LONG_AGO) for n in range(40)]
    values = [(ERASURE + each.order, seal(each.offset, LONG_AGO, encode_value(each))) for each in orders]
    store.write(values, store.facts)
    state = PartitionState(0, store, MemoryLog(store), cached=10, now_ms=SYSTEM.now_ms, turns=hand.turns)
    assert await hand.longest_hold(state.recall()) <= BOUND
    assert state.erased_to == 39
    assert all(state.erasure(each.order) == each for each in orders)
    state.close()


async def test_sweep_stops_when_its_turn_is_over_and_continues_from_there() -> None:
    hand = Hand()
    heard = dict.fromkeys((f"person-{n:02}" for n in range(30)), 0)

    class Held:
        def drop_erasures(self, before_ms: int) -> None: ...

        def forget(self, user: str) -> None:
            hand.work()
            del heard[user]

        def scan(self, prefix: bytes, after: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
            keys = sorted(b"c" + user.encode() for user in heard) if prefix == b"c" else []
            return iter([(key, 0) for key in keys if key > after][:limit])

    sweep = Sweep(limit=500, expiry_ms=1, window_ms=1)
    steps = 0
    while heard:
        await hand.turns.next()
        began = hand.now
        forgotten, _ = sweep.step(cast(Any, Held()), LONG_AGO, hand.turns.over)
        assert forgotten > 0
        assert hand.now - began <= BOUND
        hand.work(TURN)
        steps += 1
    assert steps >= 30 * UNIT / TURN
