"""Log lines about a model that does not answer: at the beginning, every ten seconds, and at the end."""

import logging
from collections.abc import Callable

EVERY_SECONDS = 10.0

log = logging.getLogger(__name__)


class Outage:
    """An outage of the model; `effect` states its consequence ("lists are made without the model")."""

    def __init__(self, effect: str, monotonic: Callable[[], float]) -> None:
        self._effect = effect
        self._monotonic = monotonic
        self._told_at: float | None = None

    def failed(self, error: Exception) -> None:
        now = self._monotonic()
        if self._told_at is None or now - self._told_at >= EVERY_SECONDS:
            self._told_at = now
            log.warning("The model does not answer, %s: %s", self._effect, error)

    def over(self) -> None:
        if self._told_at is not None:
            self._told_at = None
            log.info("The model answers again")
