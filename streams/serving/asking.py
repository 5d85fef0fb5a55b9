"""Asking the model about one list, within its deadline."""

import asyncio
import logging

from schemas.recommendations import Degraded
from schemas.scoring import Scorer, ScoreRequest, Scores, ScoringError
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.serving.outage import Outage

log = logging.getLogger(__name__)

UNREACHABLE = frozenset({Degraded.UNAVAILABLE, Degraded.CIRCUIT_OPEN})
"""Failures that an operator should look into. Answers past the deadline are only counted: load passes."""


class Asking:
    """Asks a scorer, and reports why there is no answer. Never raises, whatever the scorer does."""

    def __init__(self, scorer: Scorer | None, catalogue: Catalogue, metrics: Metrics, clock: Clock) -> None:
        self._scorer = scorer
        self._catalogue = catalogue
        self._metrics = metrics
        self._clock = clock
        self._outage = Outage("lists are made without it", clock.monotonic)

    @property
    def has_scorer(self) -> bool:
        return self._scorer is not None

    async def ask(self, request: ScoreRequest, *, deadline: float) -> tuple[Scores | None, Degraded | None]:
        """The scores by `deadline`, in seconds of the monotonic clock; or None and the reason."""
        if self._scorer is None:
            return None, Degraded.DISABLED
        asked = self._clock.monotonic()
        left = deadline - asked
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
            log.error("The scorer failed unexpectedly (%s); lists are made without it", type(error).__name__)
            return None, Degraded.INVALID
        self._outage.over()
        self._metrics.scoring_seconds.observe(self._clock.monotonic() - asked)
        self._metrics.answered_by(scores.model_version)
        self._catalogue.vectors.doubt(scores.model_version)
        return scores, None
