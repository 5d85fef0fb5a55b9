"""Completes the adapter of a new version with the tokens and vectors of its items, as the engine that serves it makes
them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ModelSettings
from schemas.scoring import Candidate

Write = Callable[[Path, ItemTokenEngine, Sequence[Candidate]], object]
"""Writes the vectors of items into an adapter's folder."""


class EngineCompletion:
    """Implements `deploy.learning.versions.Completion` on converted `weights`.

    `settings` are those that the version will be served with: their number format is part of its name. `readings` is
    the folder of the reading store, so that items are read once for all versions.
    """

    def __init__(self, weights: Path, settings: ModelSettings, readings: Path | None, write: Write) -> None:
        self._weights, self._settings, self._readings, self._write = weights, settings, readings, write

    def __call__(self, adapter: Path, items: Sequence[Candidate]) -> str:
        """Raises `WeightsError` if the version cannot be loaded."""
        engine = ItemTokenEngine.load(self._weights, adapter, self._settings, self._readings)
        self._write(adapter, engine, items)
        engine.save()
        return engine.version
