"""Making lists: answers triggers. The ranker builds a list; this module schedules, waits and publishes.

A few slots make lists at the same time, each for one user. A user whose turn does not come within the patience gets the
behavioural list at once, marked `overloaded`; one whose scores do not arrive in time gets it marked with the reason. So
no list waits past its deadline for the model, and no user waits for another user's scores.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from random import Random
from typing import Protocol

import msgspec

from schemas.codec import encode
from schemas.recommendations import Degraded, Recommendation
from schemas.scoring import Scorer, Scores
from schemas.topics import FEEDBACK, RECOMMENDATIONS
from streams.clock import Clock
from streams.errors import PartitionLost
from streams.fold.attribution import MAX_SHOWN, Exposure, Judged, expose
from streams.fold.batch import Call
from streams.fold.context import Context, digest_of
from streams.fold.marking import Marking
from streams.graph.item_graph import ItemGraph
from streams.health.failures import describe, passes
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog
from streams.metrics import FULL, Metrics
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend, learn
from streams.ranking.comparison import is_drawn
from streams.ranking.ranker import Ranker
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Shortlist
from streams.serving.asking import Asking
from streams.serving.hit_rate import JUDGED, Judge, Published
from streams.serving.prefixes import Prefixes
from streams.serving.steering import Steering
from streams.serving.triggers import Trigger, Waiting
from streams.settings import Settings
from streams.turns import Turns

log = logging.getLogger(__name__)

LOG_SECONDS = 30.0
"""Interval between log lines about lists that cannot be published."""

RETRY_SECONDS = 0.5
"""Delay before a list that could not be published is retried."""

OVERDUE_SECONDS = 0.02
"""Interval between checks for users whose patience has ended."""


class State(Protocol):
    """The parts of a user's partition that the list path needs."""

    partition: int
    base: int
    """The base of the topic's offsets (`streams.kafka.recreated_topics`)."""

    marking: Marking
    """How the contexts mark seen items."""

    @property
    def open(self) -> bool: ...
    @property
    def sessions(self) -> Sessions | None:
        """None if no model is used."""

    def context(self, user: str) -> Context: ...
    def exposure(self, user: str) -> Exposure: ...
    def blend(self, scene: str) -> Blend: ...
    def set_exposure(self, user: str, exposure: Exposure) -> None: ...
    def set_blend(self, scene: str, blend: Blend) -> None: ...
    def note_version(self, user: str, name: str) -> None: ...
    def note_alone(self) -> None: ...


Publish = Callable[[Sequence[Output]], Awaitable[None]]
"""Send records; return when the broker has them."""


class Lists:
    """The list path of one worker. `trigger` and `observe` are called as events are folded; `run` makes the lists."""

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
    ) -> None:
        self._settings = settings
        self._ranker = Ranker(catalogue, graph, ranking)
        self._catalogue = catalogue
        self._asking = Asking(scorer, catalogue, metrics, clock)
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        self._turns = Turns() if turns is None else turns
        self._states: dict[int, State] = {}
        self._waiting = Waiting(settings.lists.max_waiting)
        self._postponed = 0
        self._told_at = float("-inf")
        self._busy: dict[str, Trigger] = {}
        self._void: dict[Trigger, asyncio.Event] = {}
        self._judge = Judge(metrics)
        self._steering = Steering(metrics, asked=scorer is not None)
        self._prefixes = Prefixes(scorer)
        self._failures = RateLimitedLog(log, clock.monotonic)
        self._wake = asyncio.Event()

    # Called by the fold. Nothing here waits.

    def assign(self, state: State) -> None:
        """Start making lists for a partition."""
        self._states[state.partition] = state

    def revoke(self, partition: int) -> None:
        """A partition is no longer ours: its users get no lists from this worker."""
        self._states.pop(partition, None)
        self._waiting.forget(partition)
        self._judge.forget(partition)
        self._prefixes.release()

    def observe(self, partition: int, judged: Judged, offset: int) -> None:
        """Count what the like at `offset` says of the user's lists, and train the blend with it."""
        state = self._states.get(partition)
        if state is None:
            return
        about = self._judge.judge(partition, judged, offset)
        if about is not None:
            state.set_blend(about.scene, learn(state.blend(about.scene), about.remembered, judged.item))

    def steered(self, count: int) -> None:
        """Note that this many steer events were folded."""
        self._steering.arrived(count)

    def trigger(self, partition: int, alias: str, call: Call, folded_at: float) -> None:
        """Request a list that answers an event; the user's state is stored under `alias`. Its age is as of `folded_at`,
        in seconds of the monotonic clock."""
        settings, (event, offset, age_ms) = self._settings, call
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
        }
        if user in self._busy:
            self._void.setdefault(self._busy[user], asyncio.Event())
        return tuple(part for part, there in found.items() if there)

    async def settle(self, partition: int, users: Sequence[str]) -> tuple[str, ...]:
        """Return when every list begun before these users were forgotten is finished, and the model has dropped what it
        cached of them. Returns what it could not drop, as what@where: that stays until it is the least recently
        used."""
        for user in users:
            over = self._void.get(self._busy[user]) if user in self._busy else None
            if over is not None:
                await over.wait()
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

    async def _requeue(self, trigger: Trigger) -> None:
        """Requeue a failed trigger after a delay, unless the partition is gone. It counts as unanswered until then, so
        its offset is not committed and the partition's next owner reads it again."""
        await asyncio.sleep(RETRY_SECONDS)
        if trigger.partition in self._states:
            self._waiting.put_back(trigger)

    async def _make(self, trigger: Trigger, *, ask: bool) -> None:
        await self._turns.next()
        state = self._states.get(trigger.partition)
        if state is None:
            return
        began = self._clock.monotonic()
        context, blend = state.context(trigger.alias), self._blend(state, trigger.scene)
        ranker, catalogue = self._ranker, self._catalogue
        prepared = ranker.prepare(context, trigger.scene, now_ms=self._clock.now_ms(), marking=state.marking)
        plain = chosen = ranker.shortlist(prepared, blend)
        if self._asking.has_scorer and catalogue.vectors.waiting:
            catalogue.vectors.lacked(ranker.lacking(plain))
        scores: Scores | None = None
        degraded: Degraded | None = Degraded.OVERLOADED
        if ask:
            scores, degraded = await self._score(trigger, plain, state.sessions)
            await self._turns.next()
        if not state.open:
            raise PartitionLost(f"partition {trigger.partition} was revoked while one of its lists was made")
        if trigger in self._void:
            return
        if scores is not None:
            state.note_version(trigger.alias, scores.model_version)
            chosen = ranker.rescore(plain, scores, blend)
            if chosen.logits is None:  # nothing was scored, and no item is described yet
                scores, degraded = None, Degraded.UNAVAILABLE
        name = list_id(trigger)
        # Random by the list's id: for exploration, not secrecy; the same list is drawn again on replay.
        entries = ranker.assemble(chosen, blend, Random(name))  # noqa: S311
        now = self._clock.now_ms()
        made = Recommendation(
            id=name,
            user=trigger.user,
            scene=trigger.scene,
            ts=now,
            trigger=trigger.event,
            partition=trigger.partition,
            offset=trigger.offset - state.base,
            entries=entries,
            model_version=scores.model_version if scores else None,
            degraded=degraded,
            freshness_ms=max(0.0, (self._clock.monotonic() - trigger.born) * 1000),
            took_ms=(self._clock.monotonic() - began) * 1000,
            context=digest_of(context),
        )
        exposure, closed = expose(state.exposure(trigger.alias), msgspec.structs.replace(made, user=trigger.alias))
        state.set_exposure(trigger.alias, exposure)
        await self._publish(
            [
                Output(RECOMMENDATIONS.name, trigger.user.encode(), encode(made)),
                *(Output(FEEDBACK.name, trigger.alias.encode(), encode(feedback)) for feedback in closed),
            ]
        )
        await self._turns.next()
        if trigger in self._void:
            return
        self._keep(trigger, state, made, plain=plain, chosen=chosen, blend=blend)
        self._count(made)

    def _keep(
        self,
        trigger: Trigger,
        state: State,
        made: Recommendation,
        *,
        plain: Shortlist,
        chosen: Shortlist,
        blend: Blend,
    ) -> None:
        """Keep the data of a published list that judging and learning need."""
        self._tell_failures(chosen.moment.failures)
        compared = None
        if is_drawn(trigger.alias, made.ts, self._ranker.settings.compared):
            compared = self._ranker.compare(plain, blend, count=JUDGED)
        if state.open:
            shown = min(len(made.entries), MAX_SHOWN)
            remembered = self._ranker.remember(chosen)
            published = Published(trigger.user, trigger.partition, trigger.scene, shown, remembered, compared)
            self._judge.keep(made.id, published)

    def _blend(self, state: State, scene: str) -> Blend:
        """The blend of a scene, with a weight for each of this worker's signals."""
        stored = state.blend(scene)
        blend = self._ranker.fit(stored)
        if blend is not stored and stored.lists:
            self._metrics.refitted_blends.inc()
            new, gone = set(blend.names) - set(stored.names), set(stored.names) - set(blend.names)
            log.warning(
                "A scene's blend was learned with other signals; weights are matched by name. New, at priors: %s; "
                "dropped: %s.%s",
                ", ".join(sorted(new)) or "none",
                len(gone),  # not their names: they may come from a damaged record
                "" if blend.lists else " It was damaged, and starts over.",
            )
            state.set_blend(scene, blend)
        return blend

    def _tell_failures(self, failures: Mapping[str, str]) -> None:
        for source, what in failures.items():
            self._metrics.failed_sources.labels(source).inc()
            line = f"The candidate source {source} failed ({what}): the list was made without it. Correct its code."
            self._failures.warning(source, line)

    async def _score(
        self, trigger: Trigger, chosen: Shortlist, sessions: Sessions | None
    ) -> tuple[Scores | None, Degraded | None]:
        if not self._asking.has_scorer or sessions is None:
            return None, Degraded.DISABLED
        request = self._ranker.question(chosen, session=sessions.number(trigger.user))
        scores, degraded = await self._asking.ask(request, deadline=trigger.deadline)
        if scores is not None:
            self._steering.answered(scores)
        return scores, degraded

    def _count(self, made: Recommendation) -> None:
        self._metrics.lists.labels(made.degraded.value if made.degraded else FULL).inc()
        self._metrics.event_to_list.observe(made.freshness_ms / 1000)
        self._metrics.list_seconds.observe(made.took_ms / 1000)


def list_id(trigger: Trigger) -> str:
    """The id of the list that answers `trigger`: the same on every attempt."""
    source = f"{trigger.partition}:{trigger.offset}:{trigger.event}"
    return blake2b(source.encode(), digest_size=16).hexdigest()
