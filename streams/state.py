"""The state of one partition while it is ours: contexts, open lists, blend weights; read and written by all paths.

A value that is put is seen by the next reader at once, and is durable (changelog, then disk) a little later: what was
put since the last write goes out together, in the order in which it was put. A batch can hold its values back until
what it publishes is out (`seal` with a gate); what is put after them waits too, so that the changelog never tells of an
event whose outputs may be lost.

Memory: the values that are not durable yet, and at most `cached` decoded objects.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from streams.attribution import NONE, Exposure
from streams.blend import Blend
from streams.changelog import Changelog, Update
from streams.context import EMPTY, Context
from streams.erasure import NO_VERSIONS, Erasure, Versions, covers, with_version
from streams.errors import AnotherKey, PartitionLost
from streams.store import BLEND, CONTEXT, ERASURE, EXPOSURE, HEAD_BYTES, KEY, VERSIONS, Store, header, seal


class PseudonymKey(msgspec.Struct, frozen=True, array_like=True):
    """Which key people's pseudonyms are made with."""

    fingerprint: bytes


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE: dict[bytes, Callable[[memoryview], Any]] = {
    CONTEXT: msgspec.msgpack.Decoder(Context).decode,
    EXPOSURE: msgspec.msgpack.Decoder(Exposure).decode,
    BLEND: msgspec.msgpack.Decoder(Blend).decode,
    VERSIONS: msgspec.msgpack.Decoder(Versions).decode,
    ERASURE: msgspec.msgpack.Decoder(Erasure).decode,
    KEY: msgspec.msgpack.Decoder(PseudonymKey).decode,
}


def decode_value(key: bytes, envelope: bytes) -> Any:
    """The object in an envelope from the store or the changelog. Its type follows from the key's prefix."""
    return _DECODE[key[:1]](memoryview(envelope)[HEAD_BYTES:])


def context_key(user: str) -> bytes:
    return CONTEXT + user.encode()


def exposure_key(user: str) -> bytes:
    return EXPOSURE + user.encode()


def versions_key(user: str) -> bytes:
    return VERSIONS + user.encode()


def blend_key(scene: str) -> bytes:
    return BLEND + scene.encode()


def _keys_of(user: str) -> tuple[bytes, ...]:
    return context_key(user), exposure_key(user), versions_key(user)


_PRIOR = Blend()

MAX_ERASURES = 100_000
"""Orders of the last day that a partition remembers when it is recovered; about 300 bytes each."""


class _Put(NamedTuple):
    """A value on its way to the changelog; None clears. The same object stands in the group and among the fresh."""

    stamp: int
    value: Any


class _Group(NamedTuple):
    puts: dict[bytes, _Put]
    last: int
    gate: asyncio.Future[None] | None
    done: asyncio.Future[None]


class PartitionState:
    """What is known of the people of one partition. `open` is False from the moment the partition is let go of.

    `folded` is the last offset that is folded in, `written` the last one of which everything is durable (-1: none yet).
    """

    def __init__(
        self, partition: int, store: Store, changelog: Changelog, *, cached: int, now_ms: Callable[[], int]
    ) -> None:
        self.partition = partition
        self.open = True
        self.folded = -1
        self.written = -1
        self._store = store
        self._changelog = changelog
        self._cached = cached
        self._now_ms = now_ms
        self._cache: OrderedDict[bytes, Any] = OrderedDict()
        self._fresh: dict[bytes, _Put] = {}
        self._pending: dict[bytes, _Put] = {}
        self._groups: deque[_Group] = deque()
        self._wake = asyncio.Event()
        self._scrubbing: asyncio.Future[None] | None = None
        self._erasures: dict[bytes, Erasure] = {each.order: each for each in self._read_erasures()}
        self._erased_to = max((each.offset for each in self._erasures.values()), default=-1)

    def context(self, user: str) -> Context:
        """The person's context; an empty one if they are new."""
        found: Context | None = self._get(context_key(user))
        return EMPTY if found is None else found

    def exposure(self, user: str) -> Exposure:
        """The person's lists that wait for a reaction."""
        found: Exposure | None = self._get(exposure_key(user))
        return NONE if found is None else found

    def blend(self, scene: str) -> Blend:
        """The weights learned for a scene from the people of this partition; the prior ones at first."""
        found: Blend | None = self._get(blend_key(scene))
        return _PRIOR if found is None else found

    def versions(self, user: str) -> Versions:
        """The model versions that read what the person did."""
        found: Versions | None = self._get(versions_key(user))
        return NO_VERSIONS if found is None else found

    def erasure(self, order: bytes) -> Erasure | None:
        """What came of an erasure order, by its digest; None if it was not carried out within the last day."""
        return self._erasures.get(order)

    def erased(self, user: str, offset: int) -> bool:
        """Whether the person's event at `offset` stands before an order to erase them that was carried out."""
        if offset > self._erased_to:
            return False
        return any(covers(each, user, offset) for each in self._erasures.values())

    def set_erasure(self, erasure: Erasure) -> None:
        self._erasures[erasure.order] = erasure
        self._erased_to = max(self._erased_to, erasure.offset)
        self._put(ERASURE + erasure.order, erasure, self._stamp())

    def drop_erasures(self, before_ms: int) -> None:
        """Forget the orders that were carried out before then."""
        for each in [each for each in self._erasures.values() if each.ts < before_ms]:
            del self._erasures[each.order]
            self._put(ERASURE + each.order, None, self._stamp())

    def note_version(self, user: str, name: str) -> None:
        """Remember that a model version read what the person did."""
        before = self.versions(user)
        after = with_version(before, name)
        if after is not before:
            self._put(versions_key(user), after, self._stamp())

    def check_key(self, fingerprint: bytes) -> None:
        """Raise `AnotherKey` unless people are kept under the pseudonyms of this key (empty: under their ids)."""
        found: PseudonymKey | None = self._get(KEY)
        held = b"" if found is None else found.fingerprint
        if held == fingerprint:
            return
        if held or any(self.scan(CONTEXT, b"", 1)):
            raise AnotherKey(
                f"partition {self.partition} holds people under other names: set OUZEL_PSEUDONYM_KEY as it was, or "
                "start afresh"
            )
        self._put(KEY, PseudonymKey(fingerprint), self._stamp())

    def set_context(self, user: str, context: Context) -> None:
        self._put(context_key(user), context, context.offset)

    def set_exposure(self, user: str, exposure: Exposure) -> None:
        self._put(exposure_key(user), exposure if exposure.lists else None, self._stamp())

    def set_blend(self, scene: str, blend: Blend) -> None:
        self._put(blend_key(scene), blend, self._stamp())

    def forget(self, user: str) -> None:
        """Clear everything of a person, here and on the changelog."""
        for key in _keys_of(user):
            self._put(key, None, self._stamp())

    async def scrub(self, users: Iterable[str]) -> None:
        """Have no byte on disk of people who were forgotten, once that is durable. The store is at work meanwhile."""
        keys = [key for user in users for key in _keys_of(user)]
        self._scrubbing = asyncio.ensure_future(asyncio.to_thread(self._store.scrub, keys))
        await asyncio.shield(self._scrubbing)

    async def scrubbed(self) -> None:
        """Return when no scrub is under way: the store must not be closed under it."""
        if self._scrubbing is not None:
            await asyncio.wait([self._scrubbing])

    def people(self) -> int:
        """How many people's contexts and lists are held decoded."""
        return len(self._cache) + len(self._fresh)

    def size_bytes(self) -> int:
        return self._store.size_bytes()

    def scan(self, prefix: bytes, after: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
        """At most `limit` keys of one kind, in key order from behind the key `after`, each with when it was written."""
        for key, envelope in self._store.scan(max(after, prefix), limit):
            if key[:1] != prefix:
                return
            yield key, self._now_ms() if key in self._fresh else header(envelope).written_ms

    def touch(self) -> None:
        """Note on disk that the store is current."""
        if self.open and not self._groups:
            self._changelog.touch()

    def seal(self, last: int = -1, gate: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Close the group of everything put so far; the future is done when it is durable.

        `last` is the offset of the last event in it. With a `gate`, nothing of it is written before the gate is done;
        if the gate fails, so does everything from here on, and the partition starts over from what is durable.
        """
        group = _Group(self._pending, last, gate, asyncio.get_running_loop().create_future())
        # A failure is raised by `run`; whoever waits gets it too, but nobody has to.
        group.done.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        self._pending = {}
        self._groups.append(group)
        self._wake.set()
        return group.done

    async def run(self) -> None:
        """Write what is put, group after group, until cancelled. Raises what a gate or a write raises."""
        try:
            while True:
                await self._wake.wait()
                if not self._groups and self._pending:
                    self.seal()
                if self._groups:
                    await self._write_ready()
                else:
                    self._wake.clear()
        except Exception as error:
            for group in self._groups:
                group.done.set_exception(error)
            raise
        finally:
            self.open = False

    def close(self) -> None:
        """Let go of the store. Nothing put from now on is taken."""
        self.open = False
        for group in self._groups:
            group.done.cancel()
        self._store.close()

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
        puts: dict[bytes, _Put] = {}
        for group in ready:
            puts.update(group.puts)
        now = self._now_ms()
        updates: list[Update] = [
            (key, None if put.value is None else seal(put.stamp, now, _ENCODE(put.value))) for key, put in puts.items()
        ]
        await self._changelog.write(updates)
        for key, put in puts.items():
            if self._fresh.get(key) is put:
                del self._fresh[key]
                self._keep(key, put.value)
        for group in ready:
            self._groups.popleft()
            self.written = max(self.written, group.last)
            group.done.set_result(None)

    def _read_erasures(self) -> Iterator[Erasure]:
        for key, envelope in self._store.scan(ERASURE, MAX_ERASURES):
            if key[:1] != ERASURE:
                return
            yield decode_value(key, envelope)

    def _get(self, key: bytes) -> Any:
        put = self._fresh.get(key)
        if put is not None:
            return put.value
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        envelope = self._store.get(key)
        value = None if envelope is None else decode_value(key, envelope)
        self._keep(key, value)
        return value

    def _put(self, key: bytes, value: Any, stamp: int) -> None:
        if not self.open:
            raise PartitionLost(f"partition {self.partition} is no longer ours; its new owner goes on with it")
        self._pending[key] = self._fresh[key] = _Put(stamp, value)
        self._cache.pop(key, None)
        self._wake.set()

    def _keep(self, key: bytes, value: Any) -> None:
        self._cache[key] = value
        self._cache.move_to_end(key)
        if len(self._cache) > self._cached:
            self._cache.popitem(last=False)

    def _stamp(self) -> int:
        """The clock of what has no offset of its own: never behind anything that is stored."""
        return max(self.folded, self._store.facts.high)
