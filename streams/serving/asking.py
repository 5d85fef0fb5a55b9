"""Asking a version of the model about one list, within its deadline."""

import asyncio
import logging

from schemas.recommendations import Degraded
from schemas.scoring import Scorer, ScoreRequest, Scores, ScoringError
from streams.clock import Clock
from streams.metrics import Metrics
from streams.serving.live_versions import LiveVersion, LiveVersions
from streams.serving.outage import Outage

log = logging.getLogger(__name__)

UNREACHABLE = frozenset({Degraded.UNAVAILABLE, Degraded.CIRCUIT_OPEN})
"""Failures that an operator should look into. Answers past the deadline are only counted: load passes."""

CANARY_SHARE = 0.5
"""Share of the time left that a canary may take. The rest is for the champion, should the canary fail."""


class Asking:
    """Asks a scorer, and reports why there is no answer. Never raises, whatever the scorer does."""

    def __init__(self, scorer: Scorer | None, live: LiveVersions, metrics: Metrics, clock: Clock) -> None:
        self._scorer = scorer
        self._live = live
        self._metrics = metrics
        self._clock = clock
        self._outage = Outage("lists are made without it", clock.monotonic)

    @property
    def has_scorer(self) -> bool:
        return self._scorer is not None

    async def for_list(
        self, request: ScoreRequest, *, deadline: float, by: LiveVersion
    ) -> tuple[LiveVersion, Scores | None, Degraded | None]:
        """The scores by `deadline`, in seconds of the monotonic clock, or None and the reason; and the version asked.

        If a canary fails, or another version answers for it, the champion makes the list. That is counted, and no
        reason.
        """
        if not by.is_champion:
            now = self._clock.monotonic()
            scores, _ = await self._ask(request, now + CANARY_SHARE * (deadline - now), by)
            if scores is not None and scores.model_version == by.version:
                self._answered(now)
                return by, scores, None
            self._metrics.canary_fallbacks.inc()
            by = self._live.champion()
        asked = self._clock.monotonic()
        scores, degraded = await self._ask(request, deadline, by, self._outage)
        if scores is not None:
            self._outage.over()
            self._answered(asked)
            self._metrics.answered_by(scores.model_version)
            by.vectors.doubt(scores.model_version)
        return by, scores, degraded

    async def in_shadow(self, request: ScoreRequest, *, deadline: float, by: LiveVersion) -> Scores | None:
        """The scores of exactly this version by `deadline`; None if there are none."""
        scores, _ = await self._ask(request, deadline, by)
        return scores if scores is not None and by.version in ("", scores.model_version) else None

    def _answered(self, asked: float) -> None:
        self._metrics.scoring_seconds.observe(self._clock.monotonic() - asked)

    async def _ask(
        self, request: ScoreRequest, deadline: float, by: LiveVersion, outage: Outage | None = None
    ) -> tuple[Scores | None, Degraded | None]:
        if self._scorer is None:
            return None, Degraded.DISABLED
        left = deadline - self._clock.monotonic()
        if left <= 0:
            return None, Degraded.OVERLOADED
        try:
            async with asyncio.timeout(left):
                return await self._scorer.score(request, timeout=left, number=by.number), None
        except ScoringError as error:
            if outage is not None and error.degraded in UNREACHABLE:
                outage.failed(error)
            return None, error.degraded
        except TimeoutError:
            return None, Degraded.DEADLINE
        except Exception as error:
            log.error("The scorer failed unexpectedly (%s); lists are made without it", type(error).__name__)
            return None, Degraded.INVALID
