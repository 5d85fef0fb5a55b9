"""The candidate sources that the operator names: imported and checked before the worker starts."""

from importlib import import_module

from streams.candidates.registry import Sources
from streams.candidates.source import Source
from streams.errors import BadSetting

SETTING = "OUZEL_SOURCES"


def load_sources(names: str) -> Sources:
    """The built-in candidate sources and those that `names` (`package.module:object`, with commas) adds.

    Raises `BadSetting` if a module cannot be imported, an object is missing, or it is not a candidate source.
    """
    found = tuple(_load(name.strip()) for name in names.split(",") if name.strip())
    try:
        return Sources(custom=found)
    except ValueError as error:
        raise BadSetting(f"{SETTING}: {error}.") from None


def _load(name: str) -> Source:
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise BadSetting(f"{SETTING}: {name!r} names no object of a module: write package.module:object.")
    try:
        imported = import_module(module)
    except Exception as error:
        raise BadSetting(
            f"{SETTING}: {module} cannot be imported ({type(error).__name__}: {error}). "
            "Install it, or put its folder on PYTHONPATH."
        ) from error
    if not hasattr(imported, attribute):
        raise BadSetting(f"{SETTING}: {module} has no {attribute}.")
    source: Source = getattr(imported, attribute)
    return source
