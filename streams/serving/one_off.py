"""One-off lists: made for a context that is passed in, by the same ranking and the same model as the lists of users.

A one-off list is returned, and nothing else: it is not published, stored, compared, judged or learned from, it does not
explore, and the worker holds nothing of it afterwards. It is for events that are passed in, or for a user, whose
context is read.

Published lists go first: a one-off list waits while users wait for a slot, and after the patience it is made without
the model. It also stands back while they are made, but not for long: on a busy worker some always are. `MAX_AT_ONCE`
are made at once, while others wait.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec

from schemas.events import Event
from schemas.recommendations import Degraded, Entry, Unasked, Wished
from schemas.scoring import Scores
from streams.candidates.moment import Ints
from streams.candidates.restriction import FREE, Restriction
from streams.clock import Clock
from streams.errors import TooManyLists, UserErased
from streams.fold.context import EMPTY, Context, fold
from streams.fold.marking import Marking
from streams.metrics import FULL, REFUSED, Metrics
from streams.privacy.sessions import one_off
from streams.ranking.comparison import Compared
from streams.ranking.drawing import Noise
from streams.ranking.exploration import NO_EXPLORATION
from streams.ranking.ranker import Ranker
from streams.ranking.shortlist import Shortlist
from streams.serving.asking import Asking
from streams.serving.blends import Blends
from streams.serving.explaining import Subject
from streams.serving.gains import Gains
from streams.serving.hit_rate import JUDGED
from streams.serving.live_versions import LiveVersion, LiveVersions
from streams.serving.prefixes import Prefixes
from streams.serving.wishes import Wishes, published
from streams.turns import Turns

MAX_AT_ONCE = 2
"""One-off lists that are made at once."""

MAX_WANTED = 16
"""Those that are made or wait for it; one more is refused."""

NO_SESSION = one_off(0)
"""The session number where no model is used."""

REST_SECONDS = 0.005
"""Between two looks at whether users wait."""

STANDS_BACK_SECONDS = 0.2
"""How long a one-off list stands back in all while lists of users are made."""


class OneOffList(msgspec.Struct, frozen=True, kw_only=True):
    """A list, best first. `model_version`, `degraded`, `unasked` and `wishes` are as in `Recommendation`; `took_ms`
    counts from the call. `compared`: the list without the model, and the popular items."""

    scene: str
    ts: int
    entries: tuple[Entry, ...]
    model_version: str | None
    degraded: Degraded | None
    unasked: Unasked | None
    took_ms: float
    wishes: tuple[Wished, ...]
    compared: Compared


class Basis(NamedTuple):
    """A context, and how it marks the items that were seen."""

    context: Context
    marking: Marking


class OneOffLists:
    """Makes one-off lists. `users_wait`: whether users wait for a slot; `busy`: whether they do, or have a list in the
    making. `marking` returns one that the catalogue has marked its items by. `patience_s` and `deadline_s` are those of
    the users' lists."""

    def __init__(
        self,
        *,
        ranker: Ranker,
        blends: Blends,
        asking: Asking,
        live: LiveVersions,
        gains: Gains,
        wishes: Wishes,
        prefixes: Prefixes,
        marking: Callable[[], Marking],
        users_wait: Callable[[], bool],
        busy: Callable[[], bool],
        patience_s: float,
        deadline_s: float,
        metrics: Metrics,
        clock: Clock,
        turns: Turns,
    ) -> None:
        self._ranker = ranker
        self._blends = blends
        self._asking = asking
        self._live = live
        self._gains = gains
        self._wishes = wishes
        self._prefixes = prefixes
        self._marking = marking
        self._users_wait = users_wait
        self._busy = busy
        self._patience_s = patience_s
        self._deadline_s = deadline_s
        self._metrics = metrics
        self._clock = clock
        self._turns = turns
        self._wanted = 0
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)
        self._readers: Counter[str] = Counter()
        self._over: dict[str, asyncio.Event] = {}

    def basis(self, events: Iterable[Event]) -> Basis:
        """The context after some events, oldest first, which are folded in memory."""
        marking, context = self._marking(), EMPTY
        for offset, event in enumerate(events):
            context = fold(context, event, offset, marking)
        return Basis(context, marking)

    async def make(
        self,
        events: Sequence[Event],
        *,
        session: int,
        scene: str = "default",
        count: int | None = None,
        restriction: Restriction = FREE,
    ) -> OneOffList:
        """The list after `events`, oldest first, with at most `count` entries, of items that the `restriction` allows.
        It is shorter if fewer may be shown.

        `session` is from `streams.privacy.sessions.one_off`; `forget` it once no further list is wanted. Events and
        restrictions cost time: bound them. Raises `TooManyLists` if `MAX_WANTED` lists are wanted.
        """
        made, _ = await self._in_turn(
            lambda: self.basis(events), session, scene=scene, count=count, restriction=restriction
        )
        return made

    async def make_for(
        self,
        user: str,
        subject: Subject,
        *,
        scene: str = "default",
        count: int | None = None,
        restriction: Restriction = FREE,
    ) -> OneOffList:
        """The same for a user of this worker, from their context as it is when the list's turn comes. Raises
        `TooManyLists`, and `UserErased` if the user is erased meanwhile."""
        self._readers[user] += 1
        try:
            made, context = await self._in_turn(
                lambda: Basis(subject.context(), subject.marking),
                NO_SESSION if subject.session is None else subject.session,
                scene=scene,
                count=count,
                restriction=restriction,
            )
        finally:
            self._readers[user] -= 1
            if not self._readers[user]:
                del self._readers[user]
                if (over := self._over.pop(user, None)) is not None:
                    over.set()
        if context.ids and context.ids[-1] not in subject.context().ids:
            raise UserErased("the user was erased while the list was made")
        return made

    async def settle(self, user: str) -> None:
        """Return when no list for an erased user is being made: the model must not cache the user again later."""
        if user in self._readers:
            await self._over.setdefault(user, asyncio.Event()).wait()

    async def order(self, numbers: Ints, basis: Basis, scene: str = "default") -> Shortlist:
        """Some items, by number, in the order in which a user with this context would get them, without asking the
        model. Wishes count as far as they are read."""
        await self._turn(self._clock.monotonic() + STANDS_BACK_SECONDS)
        clock, ranker = self._clock, self._ranker
        wishes = await self._wishes.of(basis.context, now_ms=clock.now_ms(), deadline=clock.monotonic())
        return ranker.among(
            numbers,
            basis.context,
            scene,
            self._blends.blend(scene),
            now_ms=clock.now_ms(),
            marking=basis.marking,
            wishes=wishes,
        )

    async def forget(self, sessions: Sequence[int]) -> bool:
        """Have the model drop what it cached of sessions; whether it did. If not, that stays until it is the least
        recently used."""
        return not self._asking.has_scorer or await self._prefixes.drop_sessions(sessions)

    async def _in_turn(
        self, basis: Callable[[], Basis], session: int, *, scene: str, count: int | None, restriction: Restriction
    ) -> tuple[OneOffList, Context]:
        """The list, and the context that it is made from."""
        if self._wanted >= MAX_WANTED:
            self._metrics.one_off.labels(REFUSED).inc()
            raise TooManyLists(f"{MAX_WANTED} one-off lists are wanted at once, the limit: try again in a second")
        self._wanted += 1
        began = self._clock.monotonic()
        try:
            async with self._slots:
                made, context = await self._make(
                    basis, session, scene=scene, count=count, restriction=restriction, began=began
                )
        finally:
            self._wanted -= 1
        self._metrics.one_off.labels(made.degraded.value if made.degraded else FULL).inc()
        return made, context

    async def _make(
        self,
        basis: Callable[[], Basis],
        session: int,
        *,
        scene: str,
        count: int | None,
        restriction: Restriction,
        began: float,
    ) -> tuple[OneOffList, Context]:
        deadline = began + self._deadline_s
        ask = await self._free(began)
        stands_back = self._clock.monotonic() + STANDS_BACK_SECONDS
        await self._turn(stands_back)
        context, marking = basis()
        wishes = await self._wishes.of(context, now_ms=self._clock.now_ms(), deadline=deadline if ask else began)
        self._live.look()
        blend, by, now_ms = self._blends.blend(scene), self._live.champion(), self._clock.now_ms()
        ranker = self._sized(count)
        prepared = ranker.prepare(
            context, scene, now_ms=now_ms, marking=marking, wishes=wishes, restriction=restriction
        )
        plain = chosen = ranker.shortlist(prepared, blend)
        scores: Scores | None = None
        degraded: Degraded | None = None
        unasked: Unasked | None = None
        if not (self._gains.asks(scene, by, note=False) or (context.steers and self._wishes.may_read_text)):
            unasked = Unasked.ADDS_NOTHING
        elif not ask:
            degraded = Degraded.OVERLOADED
        else:
            by, scores, degraded = await self._score(ranker, plain, session, deadline, by)
            await self._turn(stands_back)
        if scores is not None:
            chosen = ranker.rescore(plain, scores, blend, by.vectors)
            if chosen.logits is None:  # nothing was scored, and no item is described yet
                scores, degraded = None, Degraded.UNAVAILABLE
        for source in chosen.moment.failures:
            self._metrics.failed_sources.labels(source).inc()
        made = OneOffList(
            scene=scene,
            ts=now_ms,
            entries=ranker.assemble(chosen, blend, Noise("")),
            model_version=None if scores is None else scores.model_version,
            degraded=degraded,
            unasked=unasked,
            took_ms=(self._clock.monotonic() - began) * 1000,
            wishes=tuple(published(wish, ranker.catalogue) for wish in wishes),
            compared=ranker.compare(plain, chosen, blend, count=JUDGED),
        )
        return made, context

    async def _score(
        self, ranker: Ranker, plain: Shortlist, session: int, deadline: float, by: LiveVersion
    ) -> tuple[LiveVersion, Scores | None, Degraded | None]:
        request = ranker.question(plain, session=session)
        by, scores, degraded = await self._asking.for_list(request, deadline=deadline, by=by)
        if scores is not None:
            self._wishes.answered(scores)
        return by, scores, degraded

    async def _free(self, began: float) -> bool:
        """Wait while users wait, within the patience; whether the model may be asked."""
        while self._users_wait():
            if self._clock.monotonic() - began >= self._patience_s:
                return False
            await asyncio.sleep(REST_SECONDS)
        return True

    async def _turn(self, until: float) -> None:
        """Wait for a turn, and while lists of users are made; for those not beyond `until`."""
        while self._busy() and self._clock.monotonic() < until:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(REST_SECONDS)
        await self._turns.next()

    def _sized(self, count: int | None) -> Ranker:
        """The ranker for lists of this length, which do not explore: nothing is learned from them."""
        settings = self._ranker.settings
        length = settings.length if count is None else count
        return Ranker(
            self._ranker.catalogue,
            self._ranker.graph,
            replace(settings, length=length, exploration=NO_EXPLORATION),
        )
