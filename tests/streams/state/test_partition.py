"""The state of a partition: visible at once, durable in order, and never written before its outputs are published."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.blends import BlendPart
from schemas.events import Event, EventKind
from streams.errors import PartitionLost
from streams.fold.attribution import NONE, Exposed, Exposure
from streams.fold.context import EMPTY, Context, digest, fold
from streams.privacy.erasure import NO_VERSIONS, Erasure, order_digest, user_digest
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend
from streams.ranking.gain import Gain, Sums
from streams.state.changelog import Changelog, Update
from streams.state.partition import PartitionState
from streams.state.records import context_key, decode_value, encode_value, exposure_key, versions_key
from streams.state.store import CONTEXT, Facts, Store, header, seal

NOW = 1_700_000_000_000


class MemoryLog(Changelog):
    """A changelog that writes to its store and records every write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.writes: list[list[Update]] = []
        self.fails = False

    async def write(self, updates: Sequence[Update]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError("the broker is gone")
        if updates:
            self.writes.append(list(updates))
            high = max((header(value).stamp for _, value in updates if value is not None), default=-1)
            self._store.write(updates, Facts(high=max(high, self._store.facts.high)))

    def contexts(self) -> dict[bytes, Context | None]:
        """The contexts that a reader of the whole changelog finds."""
        last = {key: value for write in self.writes for key, value in write}
        return {key: None if value is None else decode_value(key, value) for key, value in last.items()}


@asynccontextmanager
async def opened(
    folder: Path, cached: int = 100, pause: float = 0.0
) -> AsyncIterator[tuple[PartitionState, MemoryLog]]:
    store = Store(folder / "store")
    log = MemoryLog(store)
    state = PartitionState(2, store, log, cached=cached, now_ms=lambda: NOW, pause=pause)
    await state.recall()
    writing = asyncio.create_task(state.run())
    try:
        yield state, log
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await writing
        state.close()


def like(number: int) -> Event:
    return Event(id=f"e{number}", user="ann", kind=EventKind.LIKE, ts=NOW, item=f"film-{number}")


def context(offset: int) -> Context:
    return Context(offset=offset, ts=offset)


EXPOSED = Exposure((Exposed("list-1", NOW, "home", None, ("film-1",), (1.0,)),))


async def test_writes_are_visible_at_once_and_durable_when_reported(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        assert state.context("ann") is EMPTY
        state.set_context("ann", context(5))
        assert state.context("ann") == context(5)
        assert log.writes == []
        await state.seal(5)
        assert state.written == 5
        assert log.contexts() == {context_key("ann"): context(5)}
        assert header(log.writes[0][0][1] or b"") == (5, NOW)


async def test_gated_group_holds_back_later_ones(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.set_context("ann", context(1))
        first = state.seal(1, gate)
        state.set_exposure("ann", EXPOSED)
        second = state.seal()
        done, _ = await asyncio.wait([first, second], timeout=0.05)
        assert (done, log.writes, state.written) == (set(), [], -1)
        assert state.exposure("ann") == EXPOSED
        gate.set_result(None)
        await asyncio.gather(first, second)
        assert [key for write in log.writes for key, _ in write] == [exposure_key("ann"), context_key("ann")]


async def test_failed_outputs_leave_nothing_durable(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        state.set_context("ann", context(1))
        first = state.seal(1, gate)
        state.set_context("bob", context(2))
        second = state.seal(2)
        gate.set_exception(ConnectionError("the broker is gone"))
        for each in (first, second):
            with pytest.raises(ConnectionError):
                await each
        assert (log.writes, state.written, state.open) == ([], -1, False)
        with pytest.raises(PartitionLost):
            state.set_context("ann", context(3))


async def test_failing_changelog_fails_its_waiters(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        log.fails = True
        state.set_context("ann", context(1))
        with pytest.raises(ConnectionError):
            await state.seal(1)
        assert (state.written, state.open) == (-1, False)


async def test_waiting_groups_share_one_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        last = state.seal(0, gate)
        for offset in range(1, 20):
            state.set_context("ann", context(offset))
            last = state.seal(offset)
        gate.set_result(None)
        await last
        assert [len(write) for write in log.writes] == [1]
        assert log.contexts() == {context_key("ann"): context(19)}
        assert state.written == 19


async def test_expired_open_lists_are_cleared(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        state.set_exposure("ann", EXPOSED)
        await state.seal()
        state.set_exposure("ann", Exposure())
        await state.seal()
        assert log.contexts() == {exposure_key("ann"): None}
        assert state.exposure("ann") == NONE


async def test_user_is_deleted_completely(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        state.set_context("ann", context(1))
        state.set_exposure("ann", EXPOSED)
        await state.seal()
        state.note_version("ann", "m-1")
        assert state.versions("ann").names == ("m-1",)
        state.forget("ann")
        await state.seal()
        gone = {context_key("ann"): None, exposure_key("ann"): None, versions_key("ann"): None}
        assert log.contexts() == gone
        assert (state.context("ann"), state.exposure("ann"), state.versions("ann")) == (EMPTY, NONE, NO_VERSIONS)


ERASURE = Erasure(order_digest("o", "ann"), user_digest("ann", order_digest("o", "ann")), 7, NOW, ("context",))


async def test_erasure_order_survives_a_restart_until_it_expires(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, _):
        state.set_erasure(ERASURE)
        await state.seal()
    async with opened(tmp_path) as (state, log):
        assert state.erasure(ERASURE.order) == ERASURE
        assert state.erased("ann", 7)
        assert not state.erased("ann", 8)
        assert not state.erased("bob", 7)
        state.drop_erasures(NOW)
        assert state.erasure(ERASURE.order) == ERASURE
        state.drop_erasures(NOW + 1)
        await state.seal()
        assert state.erasure(ERASURE.order) is None
        assert list(log.contexts().values()) == [None]


async def test_scrub_leaves_no_byte_on_disk(tmp_path: Path) -> None:
    """Neither in the log, nor in the files, nor in the list of files; others stay."""

    def named(user: str) -> bool:
        mark = user.partition("-")[2].encode()  # RocksDB leaves out a key's common prefix with the one before
        return any(mark in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    async with opened(tmp_path) as (state, _):
        for round_ in range(3):
            for user in ("aaron-FIRST", "mia-MIDDLE", "zoe-LAST"):
                state.set_context(user, context(round_))
                state.set_exposure(user, EXPOSED)
            await state.seal()
            state._store._db.flush()
        assert all(map(named, ("aaron-FIRST", "mia-MIDDLE", "zoe-LAST")))
        gone = ["aaron-FIRST", "zoe-LAST"]
        for user in gone:
            state.forget(user)
        await state.seal()
        assert all(map(named, gone))
        await state.scrub(gone)
        assert not any(map(named, gone))
        assert named("mia-MIDDLE")
        assert state.context("mia-MIDDLE") == context(2)


async def test_weights_are_kept_by_scene(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, _):
        assert state.part("home") is None
        part = BlendPart(id="0:home", partition=0, scene="home", lists=3)
        state.set_part("home", part)
        await state.seal()
        assert (state.part("home"), state.part("cart"), state.blend("home")) == (part, None, None)


async def test_blend_that_an_older_worker_stored_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write([(b"bhome", seal(7, 1, encode_value(Blend(lists=3))))], store.facts)
    store.close()
    async with opened(tmp_path) as (state, _):
        assert state.blend("home") == Blend(lists=3)
        assert state.part("home") is None


async def test_evidence_about_the_model_is_durable_by_scene(tmp_path: Path) -> None:
    gain = Gain("v1", Sums(3, 1, 1, 0.5, 0.25), Sums(9, -2, 4, -1.5, 2.0))
    async with opened(tmp_path) as (state, _):
        assert state.gain("home") == Gain()
        state.set_gain("home", gain)
        await state.seal()
    async with opened(tmp_path) as (state, _):
        assert (state.gain("home"), state.gain("cart")) == (gain, Gain())


async def test_value_without_an_offset_never_has_a_lower_stamp(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        state.set_context("ann", context(90))
        await state.seal(90)
        state.folded = 40  # a new owner that replays from before the last one's end
        state.set_exposure("bob", EXPOSED)
        await state.seal()
        assert header(log.writes[-1][0][1] or b"").stamp == 90


async def test_decoded_values_are_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, cached=10) as (state, _):
        for number in range(50):
            state.set_context(f"person-{number}", context(number))
        await state.seal(49)
        assert [state.context(f"person-{n}") for n in range(50)] == [context(n) for n in range(50)]
        assert state.users() == 10


async def test_scan_continues_within_one_kind(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, _):
        for number in range(5):
            state.set_context(f"p{number}", context(number))
            state.set_exposure(f"p{number}", EXPOSED)
        await state.seal()
        first = [key for key, _ in state.scan(CONTEXT, b"", 3)]
        rest = [key for key, _ in state.scan(CONTEXT, first[-1], 30)]
        assert [*first, *rest] == [context_key(f"p{number}") for number in range(5)]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abc"), st.integers(0, 99)),
        st.tuples(st.just("forget"), st.sampled_from("abc"), st.just(0)),
        st.tuples(st.just("seal"), st.just(""), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None)  # each opens a store
@given(steps)
def test_reads_are_those_of_a_plain_dict_at_every_step(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    async def play() -> None:
        model: dict[str, Context] = {}
        async with opened(tmp_path_factory.mktemp("state"), cached=2) as (state, log):
            for what, user, offset in steps:
                if what == "put":
                    model[user] = context(offset)
                    state.set_context(user, context(offset))
                elif what == "forget":
                    model.pop(user, None)
                    state.forget(user)
                elif what == "seal":
                    state.seal()
                else:
                    await asyncio.sleep(0)
                assert {user: state.context(user) for user in "abc"} == {u: model.get(u, EMPTY) for u in "abc"}
            await state.seal()
            durable = {key[1:].decode(): value for key, value in log.contexts().items() if key[:1] == CONTEXT and value}
            assert durable == model

    asyncio.run(play())


async def test_gathered_contexts_are_written_as_they_were(tmp_path: Path) -> None:
    """Folds are visible at once; gathered contexts are written as they were, whatever is folded later."""
    async with opened(tmp_path) as (state, log):
        draft = state.draft("ann")
        draft.add(like(1), digest("e1"), 1)
        state.note({"ann": draft})
        assert state.context("ann") == fold(EMPTY, like(1), 1)
        first = await state.gather(1)
        draft.add(like(2), digest("e2"), 2)
        state.note({"ann": draft})
        await first
        assert (state.written, log.contexts()) == (1, {context_key("ann"): fold(EMPTY, like(1), 1)})
        await (await state.gather(2))
        both = fold(fold(EMPTY, like(1), 1), like(2), 2)
        assert (state.written, log.contexts()) == (2, {context_key("ann"): both})


async def test_ungathered_context_is_not_evicted(tmp_path: Path) -> None:
    async with opened(tmp_path, cached=1) as (state, _):
        for number in range(5):
            draft = state.draft(f"person-{number}")
            draft.add(like(number), digest(f"e{number}"), number)
            state.note({f"person-{number}": draft})
        assert state.users() == 1
        assert [state.context(f"person-{n}").offset for n in range(5)] == list(range(5))
        await (await state.gather(4))
        assert [state.context(f"person-{n}").offset for n in range(5)] == list(range(5))


async def test_deleted_user_is_not_written_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        draft = state.draft("ann")
        draft.add(like(1), digest("e1"), 1)
        state.note({"ann": draft})
        state.forget("ann")
        await (await state.gather(1))
        assert log.contexts() == {key("ann"): None for key in (context_key, exposure_key, versions_key)}
        assert state.context("ann") == EMPTY


async def test_values_are_written_at_intervals(tmp_path: Path) -> None:
    """Of several values of a key between two writes, the last is written; `hasten` does not wait for the interval."""
    async with opened(tmp_path, pause=3_600.0) as (state, log):
        state.set_context("ann", context(1))
        await state.seal(1)
        for offset in range(2, 9):
            state.set_context("ann", context(offset))
            last = state.seal(offset)
            await asyncio.sleep(0)
        assert len(log.writes) == 1
        state._behind.hasten()
        await last
        assert [len(write) for write in log.writes] == [1, 1]
        assert log.contexts() == {context_key("ann"): context(8)}


async def test_source_of_session_numbers_is_durable_before_its_first_use(tmp_path: Path) -> None:
    async with opened(tmp_path, pause=3_600.0) as (state, log):
        assert state.sessions is None
        await state.begin_sessions(b"first")
        assert [decode_value(key, value or b"") for key, value in log.writes[-1]] == [Sessions(b"first")]
        await state.begin_sessions(b"second")
        assert state.sessions == Sessions(b"first")
        assert len(log.writes) == 1
        state.note_alone()
        assert state.sessions == Sessions(b"first", alone=True)
        await state.seal()
    async with opened(tmp_path) as (state, _):
        await state.begin_sessions(b"third")
        assert state.sessions == Sessions(b"first", alone=True)


async def test_unwritable_changelog_starts_no_sessions(tmp_path: Path) -> None:
    async with opened(tmp_path) as (state, log):
        log.fails = True
        with pytest.raises(ConnectionError):
            await state.begin_sessions(b"first")
        assert state.sessions is None
