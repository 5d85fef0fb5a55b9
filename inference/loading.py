"""Which engine a built model runs: the one place that knows the strategies."""

from pathlib import Path

from inference.engine import Engine
from inference.item_tokens.adapter import locate
from inference.item_tokens.engine import ItemTokenEngine
from inference.repository import ADAPTER
from inference.settings import ModelSettings, Strategy


def load_engine(weights: Path, settings: ModelSettings) -> Engine | ItemTokenEngine:
    """The engine that `settings` name, over a folder that `inference.weights.convert` made.

    The adapter is the one beside `weights`, else the one that `settings` name. Raises `WeightsError`. Sets this
    process's number of torch threads.
    """
    if settings.strategy is Strategy.FULL_TEXT:
        return Engine.load(weights, settings)
    beside = weights.parent / ADAPTER
    return ItemTokenEngine.load(weights, beside if beside.is_dir() else locate(settings.adapter), settings)
