"""Steer events that the model cannot honour: counted, and logged once.

A model of item tokens answers with the context's vector and reads no sentences; a model that reads the prompt as text
answers without a vector. Without a model nothing reads them. Until the model has answered once, it is unknown what it
reads: such events are counted afterwards.
"""

import logging

from schemas.scoring import Scores
from streams.metrics import Metrics

log = logging.getLogger(__name__)


class Steering:
    """`asked`: whether a model is asked at all."""

    def __init__(self, metrics: Metrics, *, asked: bool) -> None:
        self._metrics = metrics
        self._reads: bool | None = None if asked else False
        self._waiting = 0
        self._told = False

    @property
    def may_count(self) -> bool:
        """Whether the active model reads sentences, as far as is known."""
        return self._reads is not False

    def arrived(self, count: int) -> None:
        """Note that this many steer events were folded."""
        self._waiting += count
        self._tell()

    def answered(self, scores: Scores) -> None:
        """Note an answer of the active model."""
        self._reads = not scores.vector
        if self._waiting:
            self._tell()

    def _tell(self) -> None:
        if self._reads is None:
            return
        waiting, self._waiting = self._waiting, 0
        if self._reads or not waiting:
            return
        self._metrics.unhonoured_steers.inc(waiting)
        if not self._told:
            self._told = True
            log.warning(
                "Steer events have no effect on lists: the active model reads no sentences. They stay in the users' "
                "contexts. Counted as ouzel_unhonoured_steers_total; activate a full-text model to honour them."
            )
