"""Making one list: the candidates, the model's answer, the published list, and what judging it needs.

A list is made by one version of the model from start to end: that version is asked, its vectors rank, and its name is
published.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, Protocol

import msgspec

from schemas.blends import BlendPart
from schemas.codec import encode
from schemas.models import Role
from schemas.recommendations import Degraded, Recommendation, Unasked
from schemas.scoring import ScoreRequest, Scores
from schemas.topics import FEEDBACK, RECOMMENDATIONS
from streams.clock import Clock
from streams.errors import PartitionLost
from streams.fold.attribution import MAX_SHOWN, Exposure, expose
from streams.fold.context import Context, digest_of
from streams.fold.marking import Marking
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog
from streams.metrics import FULL, Metrics
from streams.privacy.sessions import Sessions
from streams.ranking.blend import Blend
from streams.ranking.comparison import Compared, is_drawn
from streams.ranking.drawing import Noise
from streams.ranking.gain import Gain
from streams.ranking.ranker import Ranker
from streams.ranking.shortlist import Shortlist
from streams.serving.asking import Asking
from streams.serving.blends import Blends
from streams.serving.first_showings import FirstShowings
from streams.serving.gains import Gains
from streams.serving.hit_rate import JUDGED, Judge, Published
from streams.serving.live_versions import LiveVersion, LiveVersions
from streams.serving.shadow import Made, Shadow, in_shadow
from streams.serving.triggers import Trigger
from streams.serving.watching import Watcher
from streams.serving.wishes import Wishes, published
from streams.turns import Turns

log = logging.getLogger(__name__)


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
    def part(self, scene: str) -> BlendPart | None: ...
    def blend(self, scene: str) -> Blend | None: ...
    def set_exposure(self, user: str, exposure: Exposure) -> None: ...
    def set_part(self, scene: str, part: BlendPart) -> None: ...
    def gain(self, scene: str) -> Gain: ...
    def set_gain(self, scene: str, gain: Gain) -> None: ...
    def note_version(self, user: str, name: str) -> None: ...
    def note_alone(self) -> None: ...


Publish = Callable[[Sequence[Output]], Awaitable[None]]
"""Send records; return when the broker has them."""


class Answer(NamedTuple):
    """The model's answer about a list: `scores` of the version `by`, or None and why there are none. `champion`: its
    version if it has answered, else empty."""

    by: LiveVersion
    request: ScoreRequest | None = None
    scores: Scores | None = None
    degraded: Degraded | None = None
    unasked: Unasked | None = None
    champion: str = ""


class ListMaker:
    """Makes and publishes lists. `is_void` says of a trigger whether its user has been erased since."""

    def __init__(
        self,
        *,
        ranker: Ranker,
        blends: Blends,
        asking: Asking,
        live: LiveVersions,
        judge: Judge,
        gains: Gains,
        shadow: Shadow,
        shadow_share: float,
        wishes: Wishes,
        publish: Publish,
        first_showings: FirstShowings,
        is_void: Callable[[Trigger], bool],
        watcher: Watcher,
        metrics: Metrics,
        clock: Clock,
        turns: Turns,
    ) -> None:
        self._ranker = ranker
        self._blends = blends
        self._asking = asking
        self._live = live
        self._judge = judge
        self._gains = gains
        self._shadow = shadow
        self._shadow_share = shadow_share
        self._wishes = wishes
        self._publish = publish
        self._first_showings = first_showings
        self._is_void = is_void
        self._watcher = watcher
        self._metrics = metrics
        self._clock = clock
        self._turns = turns
        self._failures = RateLimitedLog(log, clock.monotonic)

    async def make(self, trigger: Trigger, state: State, *, ask: bool) -> None:
        """Make the list that answers `trigger` and publish it; with `ask`, by the model, unless that adds nothing.

        Raises `PartitionLost` if the partition is revoked meanwhile, and what publishing raises.
        """
        began = self._clock.monotonic()
        wishes = await self._wishes.of(
            state.context(trigger.alias), now_ms=self._clock.now_ms(), deadline=trigger.deadline if ask else began
        )
        context, blend = state.context(trigger.alias), self._blends.blend(trigger.scene)
        ranker, by = self._ranker, self._live.of_list(trigger.alias)
        now_ms = self._clock.now_ms()
        drawn = is_drawn(trigger.alias, now_ms, ranker.settings.compared)
        prepared = ranker.prepare(context, trigger.scene, now_ms=now_ms, marking=state.marking, wishes=wishes)
        plain = chosen = ranker.shortlist(prepared, blend)
        if self._asking.has_scorer and by.vectors.waiting:
            by.vectors.lacked(ranker.lacking(plain))
        answer = Answer(by, degraded=Degraded.OVERLOADED)
        if not (drawn or self._steers(context) or self._gains.asks(trigger.scene, by)):
            answer = Answer(by, unasked=Unasked.ADDS_NOTHING)
        elif ask:
            answer = await self._score(trigger, plain, state.sessions, by)
            await self._turns.next()
        if not state.open:
            raise PartitionLost(f"partition {trigger.partition} was revoked while one of its lists was made")
        if self._is_void(trigger):
            return
        if answer.scores is not None:
            state.note_version(trigger.alias, answer.scores.model_version)
            chosen = ranker.rescore(plain, answer.scores, blend, answer.by.vectors)
            if chosen.logits is None:  # nothing was scored, and no item is described yet
                answer = Answer(answer.by, degraded=Degraded.UNAVAILABLE)
        name = list_id(trigger)
        entries = ranker.assemble(chosen, blend, Noise(name))  # the same list is drawn again on replay
        made = Recommendation(
            id=name,
            user=trigger.user,
            scene=trigger.scene,
            ts=self._clock.now_ms(),
            trigger=trigger.event,
            partition=trigger.partition,
            offset=trigger.offset - state.base,
            entries=entries,
            model_version=answer.scores.model_version if answer.scores else None,
            degraded=answer.degraded,
            unasked=answer.unasked,
            freshness_ms=max(0.0, (self._clock.monotonic() - trigger.born) * 1000),
            took_ms=(self._clock.monotonic() - began) * 1000,
            context=digest_of(context),
            wishes=tuple(published(wish, ranker.catalogue) for wish in wishes),
        )
        exposed = msgspec.structs.replace(made, user=trigger.alias)
        exposure, closed = expose(state.exposure(trigger.alias), exposed, len(context.ids))
        state.set_exposure(trigger.alias, exposure)
        await self._publish(
            [
                Output(RECOMMENDATIONS.name, trigger.user.encode(), encode(made)),
                *(Output(FEEDBACK.name, trigger.alias.encode(), encode(feedback)) for feedback in closed),
            ]
        )
        await self._turns.next()
        if self._is_void(trigger):
            return
        compared = self._keep(trigger, state, made, answer, plain=plain, chosen=chosen, blend=blend, drawn=drawn)
        if state.open:
            self._compare(trigger, state, made, answer, plain=plain, blend=blend)
        self._count(made, answer)
        self._first_showings.note((entry.item for entry in made.entries), made.ts)
        if self._watcher.watching:
            self._watcher.published(made, compared)

    async def _score(self, trigger: Trigger, plain: Shortlist, sessions: Sessions | None, by: LiveVersion) -> Answer:
        if not self._asking.has_scorer or sessions is None:
            return Answer(by, degraded=Degraded.DISABLED)
        request = self._ranker.question(plain, session=sessions.number(trigger.user))
        by, scores, degraded = await self._asking.for_list(request, deadline=trigger.deadline, by=by)
        if scores is not None:
            self._wishes.answered(scores)
        return Answer(by, request, scores, degraded, champion=self._gains.champion_of(by, scores))

    def _steers(self, context: Context) -> bool:
        """Whether the user has asked for something that the model which scores reads in its prompt."""
        return bool(context.steers) and self._wishes.may_read_text

    def _keep(
        self,
        trigger: Trigger,
        state: State,
        made: Recommendation,
        answer: Answer,
        *,
        plain: Shortlist,
        chosen: Shortlist,
        blend: Blend,
        drawn: bool,
    ) -> Compared | None:
        """Keep the data of a published list that judging and learning need; returns what it is compared with."""
        self._tell_failures(chosen.moment.failures)
        compared = self._ranker.compare(plain, chosen, blend, count=JUDGED) if drawn else None
        if state.open:
            shown = min(len(made.entries), MAX_SHOWN)
            remembered = self._ranker.remember(chosen)
            self._judge.keep(
                made.id,
                Published(
                    trigger.user,
                    trigger.partition,
                    trigger.scene,
                    shown,
                    remembered,
                    compared,
                    answer.champion if made.degraded is None else "",
                ),
            )
        return compared

    def _compare(
        self,
        trigger: Trigger,
        state: State,
        made: Recommendation,
        answer: Answer,
        *,
        plain: Shortlist,
        blend: Blend,
    ) -> None:
        """Have a list of the current champion or challenger scored by the other one as well."""
        by, request, scores = answer.by, answer.request, answer.scores
        other = None if scores is None else self._live.opponent(by)
        if scores is None or request is None or other is None or by.version not in ("", scores.model_version):
            return
        if in_shadow(trigger.alias, made.ts, self._shadow_share):
            self._shadow.offer(
                Made(
                    name=made.id,
                    user=trigger.user,
                    alias=trigger.alias,
                    partition=trigger.partition,
                    state=state,
                    request=request,
                    by=by,
                    scores=scores,
                    other=other,
                    plain=plain,
                    blend=blend,
                    born=self._clock.monotonic(),
                )
            )

    def _tell_failures(self, failures: Mapping[str, str]) -> None:
        for source, what in failures.items():
            self._metrics.failed_sources.labels(source).inc()
            line = f"The candidate source {source} failed ({what}): the list was made without it. Correct its code."
            self._failures.warning(source, line)

    def _count(self, made: Recommendation, answer: Answer) -> None:
        self._metrics.lists.labels(made.degraded.value if made.degraded else FULL).inc()
        if made.unasked is not None:
            self._metrics.unasked.inc()
        if answer.scores is not None:
            self._metrics.model_lists.labels(Role.CHAMPION if answer.by.is_champion else Role.CANARY).inc()
            self._live.shown += not answer.by.is_champion
        self._metrics.event_to_list.observe(made.freshness_ms / 1000)
        self._metrics.list_seconds.observe(made.took_ms / 1000)


def list_id(trigger: Trigger) -> str:
    """The id of the list that answers `trigger`: the same on every attempt."""
    source = f"{trigger.partition}:{trigger.offset}:{trigger.event}"
    return blake2b(source.encode(), digest_size=16).hexdigest()
