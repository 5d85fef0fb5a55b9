"""Writes are visible immediately and become durable (changelog, then disk) shortly after.

Values gather in groups. Groups are written in order, several at once, with the last value of each key. A group may have
a gate: it and everything after it is written only once the gate is done.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from streams.state.changelog import Changelog, Update
from streams.state.records import encode_value
from streams.state.store import CONTEXT, seal
from streams.turns import Turns

AT_ONCE = 500
"""Values sent and written to disk at once: some milliseconds. They are encoded in turns."""

_CONTEXT = CONTEXT[0]


class Put(msgspec.Struct, frozen=True):
    """A value, or its bytes, on its way to the changelog; None deletes. The same object is in its group and among the
    fresh values."""

    stamp: int
    value: Any


class _Group(NamedTuple):
    puts: dict[bytes, Put]
    last: int
    gate: asyncio.Future[None] | None
    done: asyncio.Future[None]


class WriteBehind:
    """The values of one partition that are not durable yet. `open` is False once nothing more is written.

    `written` is the last offset of which everything is durable (-1: none yet). `pause`: seconds between two writes.
    """

    def __init__(
        self,
        changelog: Changelog,
        *,
        now_ms: Callable[[], int],
        pause: float,
        turns: Turns,
    ) -> None:
        self.open = True
        self.written = -1
        self._changelog = changelog
        self._now_ms = now_ms
        self._pause = pause
        self._turns = turns
        self._fresh: dict[bytes, Put] = {}
        self._pending: dict[bytes, Put] = {}
        self._groups: deque[_Group] = deque()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()

    def fresh(self, key: bytes) -> Put | None:
        """The last value put under `key`, if it is not durable yet."""
        return self._fresh.get(key)

    @property
    def idle(self) -> bool:
        """Whether no group is waiting."""
        return not self._groups

    def put(self, key: bytes, value: Any, stamp: int) -> None:
        self._pending[key] = self._fresh[key] = Put(stamp, value)
        self._wake.set()

    def seal(self, last: int = -1, gate: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Close the group of everything put so far; the future is done when it is durable.

        `last` is the offset of the last event in it. If the gate fails, so does everything from here on.
        """
        group = _Group(self._pending, last, gate, asyncio.get_running_loop().create_future())
        # `run` raises a failure; those who await the group get it too, but no caller has to.
        group.done.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        self._pending = {}
        self._groups.append(group)
        self._wake.set()
        return group.done

    def hasten(self) -> None:
        """Write sealed groups as soon as their gates allow, without the pause."""
        self._hurry.set()

    async def run(self) -> None:
        """Write group after group until cancelled. Raises what a gate or a write raises."""
        try:
            while True:
                await self._wake.wait()
                if not self._groups and self._pending:
                    self.seal()
                if not self._groups:
                    self._wake.clear()
                    continue
                self._hurry.clear()
                await self._write_ready()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause):
                        await self._hurry.wait()
        except Exception as error:
            for group in self._groups:
                group.done.set_exception(error)
            raise
        finally:
            self.open = False

    def close(self) -> None:
        """Stop writing; waiters of unwritten groups are cancelled."""
        self.open = False
        for group in self._groups:
            group.done.cancel()

    async def _write_ready(self) -> None:
        gate = self._groups[0].gate
        if gate is not None:
            await asyncio.wait([gate])
            gate.result()
        ready = [self._groups[0]]
        for group in list(self._groups)[1:]:
            if group.gate is not None and not (group.gate.done() and group.gate.exception() is None):
                break
            ready.append(group)
        puts: dict[bytes, Put] = {}
        for group in ready:
            puts.update(group.puts)
        # A crash between two records of one write must not leave a context that has an event beside open lists that
        # lack it: the event would not be joined with them again. In this order it is joined again, with the same ids.
        ordered = [each for each in puts.items() if each[0][0] != _CONTEXT]
        ordered += [each for each in puts.items() if each[0][0] == _CONTEXT]
        for start in range(0, len(ordered), AT_ONCE):
            await self._write(ordered[start : start + AT_ONCE])
        for group in ready:
            self._groups.popleft()
            self.written = max(self.written, group.last)
            group.done.set_result(None)

    async def _write(self, puts: Sequence[tuple[bytes, Put]]) -> None:
        now = self._now_ms()
        updates: list[Update] = []
        for key, put in puts:
            if self._turns.over():
                await self._turns.next()
            updates.append((key, _envelope(put, now)))
        await self._changelog.write(updates)
        for key, put in puts:
            if self._fresh.get(key) is put:
                del self._fresh[key]


def _envelope(put: Put, now: int) -> bytes | None:
    value = put.value
    if value is None:
        return None
    return seal(put.stamp, now, value if isinstance(value, bytes) else encode_value(value))
