"""Writing behind: values that are put are readable at once and durable (changelog, then disk) a little later.

What is put gathers in groups, which are written in order, several in one go, of each key the last value. A group may
have a gate: nothing of it, or of what was put after it, is written before the gate is done.
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
"""Values sent and written to the disk in one go, which takes some milliseconds; encoding them goes by turns."""

_CONTEXT = CONTEXT[0]


class Put(msgspec.Struct, frozen=True):
    """A value on its way to the changelog, or its bytes; None clears. The same object stands in its group and among
    the fresh."""

    stamp: int
    value: Any


class _Group(NamedTuple):
    puts: dict[bytes, Put]
    last: int
    gate: asyncio.Future[None] | None
    done: asyncio.Future[None]


class WriteBehind:
    """What is not durable yet of one partition. `open` is False once nothing more is written.

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
        """The last value put under a key, if it is not durable yet."""
        return self._fresh.get(key)

    @property
    def idle(self) -> bool:
        """Whether no group waits."""
        return not self._groups

    def put(self, key: bytes, value: Any, stamp: int) -> None:
        self._pending[key] = self._fresh[key] = Put(stamp, value)
        self._wake.set()

    def seal(self, last: int = -1, gate: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Close the group of everything put so far; the future is done when it is durable.

        `last` is the offset of the last event in it. If the gate fails, so does everything from here on.
        """
        group = _Group(self._pending, last, gate, asyncio.get_running_loop().create_future())
        # A failure is raised by `run`; whoever waits gets it too, but nobody has to.
        group.done.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        self._pending = {}
        self._groups.append(group)
        self._wake.set()
        return group.done

    def hasten(self) -> None:
        """Write what is sealed as soon as its gates allow, not when the time comes."""
        self._hurry.set()

    async def run(self) -> None:
        """Write what is put, group after group, until cancelled. Raises what a gate or a write raises."""
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
        """Nothing more is written; whoever waits for it is told."""
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
        # have not: the event would not be joined with them again. The other way round it is, with the same identity.
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
