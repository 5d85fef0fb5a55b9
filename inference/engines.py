"""Load the engine of a built model; the only module that maps strategies to engines."""

from pathlib import Path

from inference.errors import WeightsError
from inference.full_text.engine import Engine
from inference.item_tokens.adapter import locate
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ADAPTER, ModelSettings, Strategy, readings_of


def load_engine(weights: Path, settings: ModelSettings) -> Engine | ItemTokenEngine:
    """The engine for `settings`, with the weights folder of a model repository (`inference.triton.repository`).

    The adapter is the one beside `weights`, else the one that `settings` name; a placed version
    (`inference.triton.placing`) names the one beside it. Raises `WeightsError`. Sets this process's number of torch
    threads.
    """
    if settings.strategy is Strategy.FULL_TEXT:
        return Engine.load(weights, settings)
    beside = weights.parent / ADAPTER
    if settings.adapter == ADAPTER and not beside.is_dir():
        raise WeightsError(f"{beside} is missing: place the version again")
    adapter = beside if beside.is_dir() else locate(settings.adapter)
    return ItemTokenEngine.load(weights, adapter, settings, readings_of(weights.parents[2], settings))
