"""The state of one assigned partition: contexts, open lists and what it learned, read and written by all paths.

Writes and folds are visible immediately and become durable (changelog, then disk) shortly after.

Contexts are folded in place, in drafts, and written from there as bytes. The fold notes which drafts have changed
(`note`), and `gather`s them once all outputs of their events are published, so the changelog never contains an event
whose outputs may be lost. Contexts are gathered at intervals, not with every batch: each user's context is written as
it is then. Other values are put one by one and written `pause` seconds apart, the last of each key. They can be held
back too (`seal` with a gate); later puts then wait as well.

Memory: at most `cached` drafts and as many decoded objects of other kinds, plus the values that are not durable yet:
once `CROWD` contexts have changed (`crowded`), they should be gathered.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from schemas.blends import BlendPart
from streams.errors import AnotherKey, PartitionLost
from streams.fold.attribution import NONE, Exposure
from streams.fold.context import EMPTY, Context
from streams.fold.draft import Draft
from streams.fold.marking import UNKEYED, Markings
from streams.kafka.recreated_topics import EventsTopic, followed
from streams.privacy.erasure import NO_VERSIONS, Erasure, Versions, covers, with_version
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend
from streams.ranking.gain import Gain
from streams.state.changelog import Changelog
from streams.state.fifo_cache import FifoCache
from streams.state.records import (
    ItemSecret,
    PseudonymKey,
    blend_key,
    context_key,
    decode_payload,
    decode_value,
    encode_value,
    exposure_key,
    gain_key,
    keys_of,
    part_key,
    versions_key,
)
from streams.state.store import CONTEXT, ERASURE, ITEM_SECRET, KEY, SESSIONS, TOPIC, Store, header, seal
from streams.state.write_behind import WriteBehind
from streams.turns import Turns

CROWD = 10_000
"""With this many changed contexts, a partition writes them without waiting."""

_NO_GAIN = Gain()

MAX_ERASURES = 100_000
"""Erasure orders of the last day that a recovered partition remembers; about 300 bytes each."""


class PartitionState:
    """The users' state in one partition. `open` is False once the partition is released.

    `folded` is the offset of the last folded event, `written` the last offset up to which everything is durable, and
    `erased_to` that of the last erasure order (-1: none yet). `marking` is how items are marked.
    """

    def __init__(
        self,
        partition: int,
        store: Store,
        changelog: Changelog,
        *,
        cached: int,
        now_ms: Callable[[], int],
        pause: float = 0.0,
        turns: Turns | None = None,
    ) -> None:
        self.partition = partition
        self.base = 0
        self.folded = -1
        self.marking = UNKEYED
        self._store = store
        self._changelog = changelog
        self._now_ms = now_ms
        self._turns = Turns() if turns is None else turns
        self._behind = WriteBehind(changelog, now_ms=now_ms, pause=pause, turns=self._turns)
        self._drafts: FifoCache[str, Draft] = FifoCache(cached)
        self._exposures: FifoCache[str, Exposure] = FifoCache(cached)
        self._changed: dict[str, Draft] = {}
        self._others: FifoCache[bytes, Any] = FifoCache(cached)
        self._scrubbing: asyncio.Future[None] | None = None
        self._erasures: dict[bytes, Erasure] = {}
        self.erased_to = -1

    @property
    def open(self) -> bool:
        return self._behind.open

    @property
    def written(self) -> int:
        return self._behind.written

    async def recall(self) -> None:
        """Read back the executed erasure orders. Must be called before any put."""
        for each in self._read_erasures():
            if self._turns.over():
                await self._turns.next()
            self._erasures[each.order] = each
            self.erased_to = max(self.erased_to, each.offset)

    def context(self, user: str) -> Context:
        """The user's context; an empty one for a new user."""
        return self.draft(user).finish()

    def draft(self, user: str) -> Draft:
        """The user's context as a draft to fold into. Report changes with `note`."""
        draft = self._drafts.get(user)
        if draft is not None:
            return draft
        draft = self._changed.get(user)
        if draft is None:
            key = context_key(user)
            put = self._behind.fresh(key)
            found: Context | None = self._stored(key) if put is None else decode_payload(key, put.value)
            draft = Draft(EMPTY if found is None else found, self.marking)
        self._drafts.keep(user, draft)
        return draft

    def note(self, changed: Mapping[str, Draft]) -> None:
        """Note that these users' contexts have changed."""
        self._check_open()
        self._changed.update(changed)

    async def gather(self, last: int) -> asyncio.Future[None]:
        """Close a group of all changed contexts, up to the event at offset `last`; the future is done when it is
        durable.

        Fold nothing meanwhile, and call this only once all outputs of those events are published.
        """
        put = self._behind.put
        self._check_open()
        for user in list(self._changed):
            if self._turns.over():
                await self._turns.next()
                self._check_open()
            draft = self._changed.pop(user, None)
            if draft is not None:
                put(context_key(user), draft.encode(), draft.offset)
        written = self.seal(last)
        self._behind.hasten()
        return written

    def exposure(self, user: str) -> Exposure:
        """The user's lists that wait for a reaction."""
        exposure = self._exposures.get(user)
        if exposure is None:
            found: Exposure | None = self._read(exposure_key(user))
            exposure = NONE if found is None else found
            self._exposures.keep(user, exposure)
        return exposure

    def part(self, scene: str) -> BlendPart | None:
        """What was learned about the blend of a scene from the users of this partition; None if nothing was."""
        found: BlendPart | None = self._get(part_key(scene))
        return found

    def blend(self, scene: str) -> Blend | None:
        """The blend that the partition had learned by itself before partitions learned together, if it had any."""
        found: Blend | None = self._get(blend_key(scene))
        return found

    def gain(self, scene: str) -> Gain:
        """What likes of this partition's users say of the model in a scene; initially nothing."""
        found: Gain | None = self._get(gain_key(scene))
        return _NO_GAIN if found is None else found

    def versions(self, user: str) -> Versions:
        """The model versions that read the user's history."""
        found: Versions | None = self._get(versions_key(user))
        return NO_VERSIONS if found is None else found

    def erasure(self, order: bytes) -> Erasure | None:
        """The result of an erasure order, by its digest; None if it was not executed within the last day."""
        return self._erasures.get(order)

    def erased(self, user: str, offset: int) -> bool:
        """Whether the user's event at `offset` precedes an executed erasure order."""
        if offset > self.erased_to:
            return False
        return any(covers(each, user, offset) for each in self._erasures.values())

    def set_erasure(self, erasure: Erasure) -> None:
        self._erasures[erasure.order] = erasure
        self.erased_to = max(self.erased_to, erasure.offset)
        self._put(ERASURE + erasure.order, erasure, self._stamp())

    def drop_erasures(self, before_ms: int) -> None:
        """Forget the orders that were executed before then."""
        for each in [each for each in self._erasures.values() if each.ts < before_ms]:
            del self._erasures[each.order]
            self._put(ERASURE + each.order, None, self._stamp())

    def note_version(self, user: str, name: str) -> None:
        """Remember that a model version read the user's history."""
        before = self.versions(user)
        after = with_version(before, name)
        if after is not before:
            self._put(versions_key(user), after, self._stamp())

    def check_key(self, fingerprint: bytes) -> None:
        """Raise `AnotherKey` unless the state uses the pseudonyms of this key (empty: user ids)."""
        found: PseudonymKey | None = self._get(KEY)
        held = b"" if found is None else found.fingerprint
        if held == fingerprint:
            return
        if held or any(self.scan(CONTEXT, b"", 1)):
            raise AnotherKey(
                f"the state of partition {self.partition} uses other pseudonyms: set OUZEL_PSEUDONYM_KEY to its former "
                "value, or start afresh"
            )
        self._put(KEY, PseudonymKey(fingerprint), self._stamp())

    def take_marking(self, markings: Markings) -> None:
        """Mark items with the partition's secret; a partition without one adopts the worker's. Call before any context
        is read."""
        found: ItemSecret | None = self._get(ITEM_SECRET)
        if found is None:
            found = ItemSecret(markings.secret, mixed=any(self.scan(CONTEXT, b"", 1)))
            self._put(ITEM_SECRET, found, self._stamp())
        self.marking = markings.of(found.secret, mixed=found.mixed)

    @property
    def sessions(self) -> Sessions | None:
        """The source of session numbers; None if no model was ever asked about users of this partition."""
        found: Sessions | None = self._get(SESSIONS)
        return found

    async def begin_sessions(self, secret: bytes) -> None:
        """Create the source of session numbers from `secret`, if there is none. It is durable when this returns, before
        the model gets a number. Call before `run`."""
        if self.sessions is None:
            made = seal(self._stamp(), self._now_ms(), encode_value(Sessions(secret)))
            await self._changelog.write([(SESSIONS, made)])
            self._others.pop(SESSIONS, None)

    def note_alone(self) -> None:
        """Note that the model has dropped the prefixes from before our secret."""
        if self.sessions is not None:
            self._put(SESSIONS, replace(self.sessions, alone=True), self._stamp())

    @property
    def high(self) -> int:
        """The highest stamp; -1 if nothing was folded yet."""
        return self._store.facts.high

    def follow(self, topic: bytes, end: int, *, rewound: bool, take: bool) -> int:
        """Record that the state follows the events' topic with this id, which ends at offset `end`; returns the base of
        its offsets. Raises `TopicRecreated` if the state follows another topic and `take` is false (`followed`)."""
        held: EventsTopic | None = self._get(TOPIC)
        now = followed(held, topic, partition=self.partition, high=self.high, end=end, rewound=rewound, take=take)
        if now != held:
            self._put(TOPIC, now, self._stamp())
        self.base = now.base
        return now.base

    def set_context(self, user: str, context: Context) -> None:
        self._drop(user)
        self._put(context_key(user), encode_value(context), context.offset)

    def set_exposure(self, user: str, exposure: Exposure) -> None:
        self._put(exposure_key(user), exposure if exposure.lists else None, self._stamp())
        self._exposures.keep(user, exposure)

    def set_part(self, scene: str, part: BlendPart) -> None:
        self._put(part_key(scene), part, self._stamp())

    def set_gain(self, scene: str, gain: Gain) -> None:
        self._put(gain_key(scene), gain, self._stamp())

    def forget(self, user: str) -> None:
        """Delete all state of a user, here and on the changelog."""
        self._drop(user)
        for key in keys_of(user):
            self._put(key, None, self._stamp())

    async def scrub(self, users: Iterable[str]) -> None:
        """Physically purge deleted users from disk, once the deletion is durable. The store keeps working."""
        keys = [key for user in users for key in keys_of(user)]
        self._scrubbing = asyncio.ensure_future(asyncio.to_thread(self._store.scrub, keys))
        await asyncio.shield(self._scrubbing)

    async def scrubbed(self) -> None:
        """Return when no scrub is running: the store must not be closed under it."""
        if self._scrubbing is not None:
            await asyncio.wait([self._scrubbing])

    def users(self) -> int:
        """The number of contexts in memory."""
        return len(self._drafts)

    def size_bytes(self) -> int:
        return self._store.size_bytes()

    def scan(self, prefix: bytes, after: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
        """At most `limit` keys of one kind in key order after the key `after`, each with its time of writing."""
        for key, envelope in self._store.scan(max(after, prefix), limit):
            if key[:1] != prefix:
                return
            now = self._behind.fresh(key) is not None or key[1:].decode() in self._changed
            yield key, self._now_ms() if now else header(envelope).written_ms

    def touch(self) -> None:
        """Mark the store on disk as current."""
        if self.open and self._behind.idle:
            self._changelog.touch()

    def seal(self, last: int = -1, gate: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Close the group of everything put so far; the future is done when it is durable.

        `last` is the offset of the last event in it. With a `gate`, nothing of it is written before the gate is done;
        if the gate fails, so does everything after it, and the partition starts over from what is durable.
        """
        return self._behind.seal(last, gate)

    @property
    def crowded(self) -> bool:
        """Whether enough contexts have changed that they should be written now."""
        return len(self._changed) >= CROWD

    async def run(self) -> None:
        """Write what is put, group after group, until cancelled. Raises what a gate or a write raises."""
        await self._behind.run()

    def close(self) -> None:
        """Release the store. Later puts are dropped."""
        self._behind.close()
        self._store.close()

    def _read_erasures(self) -> Iterator[Erasure]:
        for key, envelope in self._store.scan(ERASURE, MAX_ERASURES):
            if key[:1] != ERASURE:
                return
            yield decode_value(key, envelope)

    def _get(self, key: bytes) -> Any:
        """A value that is neither a context nor open lists."""
        if key not in self._others:
            self._others.keep(key, self._read(key))
        return self._others[key]

    def _read(self, key: bytes) -> Any:
        put = self._behind.fresh(key)
        return self._stored(key) if put is None else put.value

    def _stored(self, key: bytes) -> Any:
        envelope = self._store.get(key)
        return None if envelope is None else decode_value(key, envelope)

    def _check_open(self) -> None:
        if not self.open:
            raise PartitionLost(f"partition {self.partition} is no longer ours; its new owner continues it")

    def _drop(self, user: str) -> None:
        self._drafts.pop(user, None)
        self._changed.pop(user, None)
        self._exposures.pop(user, None)

    def _put(self, key: bytes, value: Any, stamp: int) -> None:
        self._check_open()
        self._behind.put(key, value, stamp)
        self._others.pop(key, None)

    def _stamp(self) -> int:
        """The stamp of values without an offset: never lower than any stored stamp."""
        return max(self.folded, self._store.facts.high)
