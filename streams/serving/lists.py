"""Making lists: answers triggers. `streams.serving.list_maker` makes one list; this module schedules them.

A few slots make lists at the same time, each for one user. A user whose turn does not come within the patience gets the
behavioural list at once, marked `overloaded`; one whose scores do not arrive in time gets it marked with the reason. So
no list waits past its deadline for the model, and no user waits for another user's scores.
"""

import asyncio
import logging
from collections.abc import Sequence

from schemas.models import Comparison
from schemas.scoring import Scorer
from streams.clock import Clock
from streams.errors import PartitionLost
from streams.fold.attribution import Judged
from streams.fold.batch import Call
from streams.fold.marking import UNKEYED
from streams.graph.item_graph import ItemGraph
from streams.health.failures import describe, passes
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.ranking.ranker import Ranker
from streams.ranking.settings import Ranking
from streams.serving.asking import Asking
from streams.serving.blends import Blends
from streams.serving.comparisons import Comparisons
from streams.serving.explaining import Explaining
from streams.serving.first_showings import FirstShowings
from streams.serving.gains import Gains
from streams.serving.hit_rate import Judge
from streams.serving.list_maker import ListMaker, Publish, State
from streams.serving.live_versions import LiveVersions
from streams.serving.one_off import OneOffLists
from streams.serving.prefixes import Prefixes
from streams.serving.shadow import Shadow
from streams.serving.triggers import Trigger, Waiting
from streams.serving.watching import UNWATCHED, Watcher
from streams.serving.wishes import Wishes
from streams.settings import Settings
from streams.turns import Turns

log = logging.getLogger(__name__)

LOG_SECONDS = 30.0
"""Interval between log lines about lists that cannot be published."""

RETRY_SECONDS = 0.5
"""Delay before a list that could not be published is retried."""

OVERDUE_SECONDS = 0.02
"""Interval between checks for users whose patience has ended."""


class Lists:
    """The list path of one worker. `trigger` and `observe` are called as events are folded; `run` makes the lists.

    `live` says which versions of the model make them, and `blends` has the weights; `comparisons` publishes how two
    versions compare; `watcher` shows lists to people. `one_off` makes lists that are not published.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        ranking: Ranking,
        catalogue: Catalogue,
        graph: ItemGraph,
        scorer: Scorer | None,
        publish: Publish,
        metrics: Metrics,
        clock: Clock,
        turns: Turns | None = None,
        live: LiveVersions | None = None,
        blends: Blends | None = None,
        comparisons: Comparisons | None = None,
        watcher: Watcher = UNWATCHED,
    ) -> None:
        self._settings = settings
        self._ranker = Ranker(catalogue, graph, ranking)
        self._catalogue = catalogue
        self._metrics = metrics
        self._clock = clock
        self._turns = Turns() if turns is None else turns
        self._blends = Blends(ranking.sources.columns, metrics, clock) if blends is None else blends
        self._states: dict[int, State] = {}
        self._waiting = Waiting(settings.lists.max_waiting)
        self._postponed = 0
        self._told_at = float("-inf")
        self._busy: dict[str, Trigger] = {}
        self._void: dict[Trigger, asyncio.Event] = {}
        self._comparisons = comparisons
        self._gains = Gains(
            self._states, margin=settings.lists.model_margin, compared=ranking.compared, metrics=metrics
        )
        self._watcher = watcher
        self._judge = Judge(metrics, tell=self._compared, paired=self._gains.take, now_ms=clock.now_ms)
        self._wishes = Wishes(scorer, catalogue, days=settings.lists.wish_days, metrics=metrics, clock=clock)
        self._prefixes = Prefixes(scorer)
        self._wake = asyncio.Event()
        live = self._live = LiveVersions(catalogue, metrics, clock) if live is None else live
        asking = Asking(scorer, live, metrics, clock)
        self.one_off = OneOffLists(
            ranker=self._ranker,
            blends=self._blends,
            asking=asking,
            live=live,
            gains=self._gains,
            wishes=self._wishes,
            prefixes=self._prefixes,
            marking=lambda: next((state.marking for state in self._states.values()), UNKEYED),
            users_wait=lambda: len(self._waiting) > 0,
            busy=self.busy,
            patience_s=settings.lists.patience_ms / 1000,
            deadline_s=settings.lists.deadline_ms / 1000,
            metrics=metrics,
            clock=clock,
            turns=self._turns,
        )
        self._shadow = Shadow(
            asking=asking,
            ranker=self._ranker,
            judge=self._judge,
            busy=self.busy,
            metrics=metrics,
            clock=clock,
            turns=self._turns,
            timeout_s=settings.lists.deadline_ms / 1000,
            watcher=watcher,
        )
        self.explaining = Explaining(
            ranker=self._ranker,
            blends=self._blends,
            scorer=scorer,
            live=live,
            wishes=self._wishes,
            metrics=metrics,
            clock=clock,
            turns=self._turns,
        )
        self._maker = ListMaker(
            ranker=self._ranker,
            blends=self._blends,
            asking=asking,
            live=live,
            judge=self._judge,
            gains=self._gains,
            shadow=self._shadow,
            shadow_share=settings.lists.shadow_share,
            wishes=self._wishes,
            publish=publish,
            first_showings=FirstShowings(catalogue, metrics.new_item_seconds.observe, since_ms=clock.now_ms()),
            is_void=self._void.__contains__,
            watcher=watcher,
            metrics=metrics,
            clock=clock,
            turns=self._turns,
        )

    # Called by the fold. Nothing here waits.

    def assign(self, state: State) -> None:
        """Start making lists for a partition."""
        self._states[state.partition] = state
        self._blends.assign(state)
        self._gains.look()

    def revoke(self, partition: int) -> None:
        """A partition is no longer ours: its users get no lists from this worker."""
        self._states.pop(partition, None)
        self._blends.revoke(partition)
        self._gains.look()
        self._waiting.forget(partition)
        self._judge.forget(partition)
        self._shadow.forget(partition)
        self._prefixes.release()
        self._watcher.revoke(partition)

    def observe(self, partition: int, judged: Judged, offset: int) -> None:
        """Count what the like at `offset` says of the user's lists, and train the blend with it."""
        if partition not in self._states:
            return
        about = self._judge.judge(partition, judged, offset)
        if about is not None:
            self._blends.learn(partition, about.scene, about.remembered, judged.item)

    def steered(self, count: int) -> None:
        """Note that this many steer events were folded."""
        self._wishes.arrived(count)

    def trigger(self, partition: int, alias: str, call: Call, folded_at: float) -> None:
        """Request a list that answers an event; the user's state is stored under `alias`. Its age is as of `folded_at`,
        in seconds of the monotonic clock."""
        settings, (event, offset, age_ms) = self._settings, call
        if self._watcher.watching:
            self._watcher.asked(event)
        # An age of the whole deadline is a backlog or a slow clock: hurrying would not help.
        spent = age_ms if 0 < age_ms < settings.lists.deadline_ms else 0
        deadline = folded_at + (settings.lists.deadline_ms - spent) / 1000
        patience = min(folded_at + settings.lists.patience_ms / 1000, deadline)
        born = folded_at - age_ms / 1000
        replaced, given_up = self._waiting.add(
            Trigger(event.user, alias, event.scene, event.id, partition, offset, born, patience, deadline)
        )
        if replaced is not None:
            self._metrics.coalesced.inc()
        if given_up is not None:
            self._metrics.shed.inc()
        self._metrics.waiting.set(len(self._waiting) + len(self._busy))
        self._wake.set()

    def first_unanswered(self, partition: int) -> int | None:
        """The lowest offset of a partition that still waits for its list, or None.

        Until that list is out, the offset is not committed: after a crash the event is read again, changes nothing, and
        triggers again.
        """
        offsets = [t.offset for t in self._busy.values() if t.partition == partition]
        waiting = self._waiting.first_offset(partition)
        return min(offsets if waiting is None else [*offsets, waiting], default=None)

    def forget(self, user: str) -> tuple[str, ...]:
        """Drop everything that this worker holds of an erased user; returns what was dropped, as what@where."""
        found = {
            "waiting-list@worker": self._waiting.drop(user),
            "last-list@worker": self._judge.drop(user),
            "list-in-the-making@worker": user in self._busy,
            "list-in-shadow@worker": self._shadow.drop(user),
            "explanation@worker": self.explaining.drop(user),
            "page@worker": self._watcher.forget(user),
            "comparison@worker": self._comparisons is not None and self._comparisons.drop(user),
        }
        if user in self._busy:
            self._void.setdefault(self._busy[user], asyncio.Event())
        return tuple(part for part, there in found.items() if there)

    async def settle(self, partition: int, users: Sequence[str]) -> tuple[str, ...]:
        """Return when every list begun before these users were forgotten is finished, in shadow too, and the model has
        dropped what it cached of them. Returns what it could not drop, as what@where: that stays until it is the least
        recently used."""
        for user in users:
            over = self._void.get(self._busy[user]) if user in self._busy else None
            if over is not None:
                await over.wait()
            await self._shadow.settle(user)
            await self.explaining.settle(user)
            await self.one_off.settle(user)
        state = self._states.get(partition)
        return () if state is None else await self._prefixes.drop(state, users)

    def busy(self) -> bool:
        """Whether a user waits for a list."""
        return bool(self._busy) or len(self._waiting) > 0

    # Asynchronous.

    async def run(self) -> None:
        """Make lists until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.lists.scoring_slots):
                tasks.create_task(self._serve())
            tasks.create_task(self._serve_overdue())
            tasks.create_task(self._shadow.run())
            tasks.create_task(self._wishes.run())

    async def _serve(self) -> None:
        while True:
            trigger = self._waiting.take(self._busy)
            if trigger is None:
                self._wake.clear()
                await self._wake.wait()
            else:
                await self._answer(trigger, ask=True)

    async def _serve_overdue(self) -> None:
        """Serve the behavioural list to users whose patience has ended: the model's answer would come too late."""
        while True:
            trigger = self._waiting.take_overdue(self._clock.monotonic(), self._busy)
            if trigger is None:
                await asyncio.sleep(OVERDUE_SECONDS)
            else:
                await self._answer(trigger, ask=False)

    async def _answer(self, trigger: Trigger, *, ask: bool) -> None:
        self._busy[trigger.user] = trigger
        try:
            await self._make(trigger, ask=ask)
        except PartitionLost:
            await self._requeue(trigger)
        except Exception as error:
            # Not the error's text: it may name a user.
            if passes(error):
                self._postponed += 1
                now = self._clock.monotonic()
                if now - self._told_at >= LOG_SECONDS:
                    text = "Lists could not be published (%s), %d times; retrying"
                    log.error(text, "; ".join(describe(error)), self._postponed)
                    self._told_at, self._postponed = now, 0
                await self._requeue(trigger)
            else:
                log.error("A list could not be made (%s); the user's next event makes another", type(error).__name__)
        finally:
            del self._busy[trigger.user]
            over = self._void.pop(trigger, None)
            if over is not None:
                over.set()
            self._metrics.waiting.set(len(self._waiting) + len(self._busy))
            self._wake.set()

    def _compared(self, user: str, comparison: Comparison) -> None:
        self._live.trials.take_comparison(comparison)
        if self._comparisons is not None:
            self._comparisons.add(user, comparison)

    async def _requeue(self, trigger: Trigger) -> None:
        """Requeue a failed trigger after a delay, unless the partition is gone. It counts as unanswered until then, so
        its offset is not committed and the partition's next owner reads it again."""
        await asyncio.sleep(RETRY_SECONDS)
        if trigger.partition in self._states:
            self._waiting.put_back(trigger)

    async def _make(self, trigger: Trigger, *, ask: bool) -> None:
        await self._turns.next()
        state = self._states.get(trigger.partition)
        if state is not None:
            await self._maker.make(trigger, state, ask=ask)
