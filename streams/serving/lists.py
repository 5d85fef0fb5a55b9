"""Making lists: the agent that answers triggers. What it sends, pure functions decide; this waits and sends.

A few slots make lists at the same time, each for one person. A person whose turn does not come within their patience
gets the behavioural list at once, marked `overloaded`; one whose scores do not come in time gets it marked with why. So
nobody waits past the deadline for the model, and nobody waits for somebody else's scores.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Protocol

import msgspec

from schemas.codec import encode
from schemas.recommendations import Degraded, Recommendation
from schemas.scoring import Scorer, Scores, ScoringError
from schemas.topics import FEEDBACK, RECOMMENDATIONS
from streams.clock import Clock
from streams.errors import PartitionLost
from streams.fold.attribution import MAX_SHOWN, Exposure, Judged, expose
from streams.fold.batch import Call
from streams.fold.context import Context
from streams.fold.marking import Marking
from streams.graph.item_graph import ItemGraph
from streams.health.failures import describe, passes
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.metrics import FULL, Metrics
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend, learn
from streams.ranking.pipeline import (
    Ranking,
    Shortlist,
    arrange,
    assemble,
    hear,
    lacking,
    popular,
    prepare,
    remember,
    score_request,
    shortlist,
)
from streams.serving.hit_rate import JUDGED, Judge, Published
from streams.serving.outage import Outage
from streams.serving.prefixes import Prefixes
from streams.serving.steering import Steering
from streams.serving.triggers import Trigger, Waiting
from streams.settings import Settings
from streams.turns import Turns

log = logging.getLogger(__name__)

TELL_SECONDS = 30.0
"""Between two log lines about lists that cannot be published."""

RETRY_SECONDS = 0.5
"""Before a list is tried again that could not be published."""

HURRY_SECONDS = 0.02
"""Between two looks for somebody whose patience has ended."""

UNREACHABLE = frozenset({Degraded.UNAVAILABLE, Degraded.CIRCUIT_OPEN})
"""What an operator has to look after. Lists that come too late are counted only: load passes."""


class State(Protocol):
    """What the list path needs of the partition that a person lives in."""

    partition: int
    base: int
    """What is added to the offsets of the topic (`streams.kafka.recreated_topics`)."""

    marking: Marking
    """How the contexts mark what was seen."""

    @property
    def open(self) -> bool: ...
    @property
    def sessions(self) -> Sessions | None:
        """None where no model is asked."""

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
        self._ranking = ranking
        self._catalogue = catalogue
        self._graph = graph
        self._scorer = scorer
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
        self._outage = Outage("lists are made without it", clock.monotonic)
        self._wake = asyncio.Event()

    # What the fold calls. Nothing here waits.

    def assign(self, state: State) -> None:
        """A partition is ours from now on."""
        self._states[state.partition] = state

    def revoke(self, partition: int) -> None:
        """A partition is no longer ours: nobody of it gets a list from here."""
        self._states.pop(partition, None)
        self._waiting.forget(partition)
        self._judge.forget(partition)
        self._prefixes.release()

    def observe(self, partition: int, judged: Judged, offset: int) -> None:
        """Count what the like at `offset` says of the user's lists, and have the blend learn from it."""
        state = self._states.get(partition)
        if state is None:
            return
        about = self._judge.judge(partition, judged, offset)
        if about is not None:
            state.set_blend(about.scene, learn(state.blend(about.scene), about.remembered, judged.item))

    def steered(self, count: int) -> None:
        """So many steer events were folded."""
        self._steering.arrived(count)

    def trigger(self, partition: int, alias: str, call: Call, folded_at: float) -> None:
        """Ask for a list that answers an event, whose user's state is kept under `alias`. Its age is as of `folded_at`,
        in seconds of the monotonic clock."""
        settings, (event, offset, age_ms) = self._settings, call
        # An age of the whole deadline is a backlog or a clock that is behind: no haste makes that good.
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
        """Drop what is kept and what is being made of a person who is erased; what that was, as what@where."""
        found = {
            "waiting-list@worker": self._waiting.drop(user),
            "last-list@worker": self._judge.drop(user),
            "list-in-the-making@worker": user in self._busy,
        }
        if user in self._busy:
            self._void.setdefault(self._busy[user], asyncio.Event())
        return tuple(part for part, there in found.items() if there)

    async def settle(self, partition: int, users: Sequence[str]) -> tuple[str, ...]:
        """Return when no list is in the making that was begun before these people were forgotten, and the model has
        dropped what it kept of them; what it has not, as what@where: it goes when it is the least recently used."""
        for user in users:
            over = self._void.get(self._busy[user]) if user in self._busy else None
            if over is not None:
                await over.wait()
        state = self._states.get(partition)
        return () if state is None else await self._prefixes.drop(state, users)

    def busy(self) -> bool:
        """Whether somebody waits for a list."""
        return bool(self._busy) or len(self._waiting) > 0

    # What waits.

    async def run(self) -> None:
        """Make lists until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.lists.scoring_slots):
                tasks.create_task(self._serve())
            tasks.create_task(self._hurry())

    async def _serve(self) -> None:
        while True:
            trigger = self._waiting.take(self._busy)
            if trigger is None:
                self._wake.clear()
                await self._wake.wait()
            else:
                await self._answer(trigger, ask=True)

    async def _hurry(self) -> None:
        """Give the behavioural list to whoever has waited so long that the model's answer would come too late."""
        while True:
            trigger = self._waiting.take_overdue(self._clock.monotonic(), self._busy)
            if trigger is None:
                await asyncio.sleep(HURRY_SECONDS)
            else:
                await self._answer(trigger, ask=False)

    async def _answer(self, trigger: Trigger, *, ask: bool) -> None:
        self._busy[trigger.user] = trigger
        try:
            await self._make(trigger, ask=ask)
        except PartitionLost:
            await self._wait_on(trigger)
        except Exception as error:
            # Not the error's text: it may name a person.
            if passes(error):
                self._postponed += 1
                now = self._clock.monotonic()
                if now - self._told_at >= TELL_SECONDS:
                    text = "Lists could not be published (%s), %d times; they are tried again"
                    log.error(text, "; ".join(describe(error)), self._postponed)
                    self._told_at, self._postponed = now, 0
                await self._wait_on(trigger)
            else:
                log.error("A list could not be made (%s); the person's next event makes another", type(error).__name__)
        finally:
            del self._busy[trigger.user]
            over = self._void.pop(trigger, None)
            if over is not None:
                over.set()
            self._metrics.waiting.set(len(self._waiting) + len(self._busy))
            self._wake.set()

    async def _wait_on(self, trigger: Trigger) -> None:
        """Try again in a moment, unless the partition is gone; until then it counts as unanswered, so that its offset
        is not committed and whoever has the partition next reads it again."""
        await asyncio.sleep(RETRY_SECONDS)
        if trigger.partition in self._states:
            self._waiting.put_back(trigger)

    async def _make(self, trigger: Trigger, *, ask: bool) -> None:
        await self._turns.next()
        state = self._states.get(trigger.partition)
        if state is None:
            return
        began = self._clock.monotonic()
        context, blend = state.context(trigger.alias), state.blend(trigger.scene)
        catalogue, graph = self._catalogue, self._graph
        prepared = prepare(
            context,
            trigger.scene,
            catalogue=catalogue,
            graph=graph,
            now_ms=self._clock.now_ms(),
            settings=self._ranking,
            marking=state.marking,
        )
        plain = chosen = shortlist(prepared, blend, catalogue=catalogue, graph=graph)
        if self._scorer is not None and catalogue.vectors.waiting:
            catalogue.vectors.lacked(
                lacking(plain, context, trigger.scene, catalogue=catalogue, settings=self._ranking)
            )
        scores: Scores | None = None
        degraded: Degraded | None = Degraded.OVERLOADED
        if ask:
            scores, degraded = await self._score(trigger, context, chosen, state.sessions)
            await self._turns.next()
        if not state.open:
            raise PartitionLost(f"partition {trigger.partition} was let go of while a list of it was made")
        if trigger in self._void:
            return
        if scores is not None:
            state.note_version(trigger.alias, scores.model_version)
            chosen = hear(prepared, chosen, scores, blend, catalogue=catalogue, graph=graph)
            if chosen.logits is None:  # nothing was scored, and no item is described yet
                scores, degraded = None, Degraded.UNAVAILABLE
        name = list_id(trigger)
        entries = assemble(
            chosen,
            scene=trigger.scene,
            catalogue=catalogue,
            blend=blend,
            settings=self._ranking,
            rng=Random(name),  # noqa: S311 - exploration, not secrecy; the same list is drawn again on replay
        )
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
        without = arrange(plain, catalogue=catalogue, blend=blend, settings=self._ranking)
        published = Published(
            trigger.user,
            trigger.partition,
            trigger.scene,
            shown=min(len(made.entries), MAX_SHOWN),
            remembered=remember(chosen),
            without_model=tuple(
                catalogue.index[at] for at in plain.candidates.numbers[without.places[:JUDGED]].tolist()
            ),
            popular=popular(
                context,
                catalogue=catalogue,
                graph=graph,
                count=JUDGED,
                now_ms=now,
                rule=self._ranking.seen.of(trigger.scene),
                marking=state.marking,
            ),
        )
        if state.open:
            self._judge.keep(made.id, published)
        self._count(made)

    async def _score(
        self, trigger: Trigger, context: Context, chosen: Shortlist, sessions: Sessions | None
    ) -> tuple[Scores | None, Degraded | None]:
        if self._scorer is None or sessions is None:
            return None, Degraded.DISABLED
        request = score_request(
            chosen,
            context,
            trigger.scene,
            catalogue=self._catalogue,
            session=sessions.number(trigger.user),
            settings=self._ranking,
        )
        asked = self._clock.monotonic()
        left = trigger.deadline - asked
        if left <= 0:
            return None, Degraded.OVERLOADED
        try:
            async with asyncio.timeout(left):
                scores = await self._scorer.score(request, timeout=left)
        except ScoringError as error:
            if error.degraded in UNREACHABLE:
                self._outage.failed(error)
            return None, error.degraded
        except TimeoutError:
            return None, Degraded.DEADLINE
        except Exception as error:
            log.error("The scorer failed in a way it should not (%s); lists are made without it", type(error).__name__)
            return None, Degraded.INVALID
        self._outage.over()
        self._metrics.scoring_seconds.observe(self._clock.monotonic() - asked)
        self._metrics.answered_by(scores.model_version)
        self._steering.answered(scores)
        self._catalogue.vectors.doubt(scores.model_version)
        return scores, None

    def _count(self, made: Recommendation) -> None:
        self._metrics.lists.labels(made.degraded.value if made.degraded else FULL).inc()
        self._metrics.event_to_list.observe(made.freshness_ms / 1000)
        self._metrics.list_seconds.observe(made.took_ms / 1000)


def list_id(trigger: Trigger) -> str:
    """The id of the list that answers `trigger`: the same whenever it is made again."""
    source = f"{trigger.partition}:{trigger.offset}:{trigger.event}"
    return blake2b(source.encode(), digest_size=16).hexdigest()
