"""Which adapter a training starts from: the packaged one, another, or none.

A model is never judged by events that it has seen. So an evaluation refuses an adapter that may have learned from its
events (`inference.item_tokens.learned`), and nothing starts from the packaged one on such data unless it is named.
"""

from collections.abc import Callable
from pathlib import Path

from deploy.datasets.dataset import Dataset
from deploy.errors import SeenBefore
from inference.errors import WeightsError
from inference.item_tokens.adapter import DEFAULT, SHIPPED, Adapter, load, locate
from inference.item_tokens.learned import digests, seen_until
from inference.versions.card import day

PACKAGED, NONE = "packaged", "none"


def folder_of(name: str) -> Path:
    """The folder of an adapter: `PACKAGED`, the name of another shipped one, or a path. Raises `WeightsError`."""
    return locate(DEFAULT if name == PACKAGED else name)


def to_judge(name: str | None, dataset: Dataset, base: str) -> tuple[Adapter | None, str]:
    """The adapter that the models of an evaluation start from, and a sentence on it for the report.

    `name` is `PACKAGED`, `NONE`, an adapter's name or folder; without it the packaged adapter is used where it fits.
    `base` is the name of the language model. Raises `SeenBefore` if a named adapter may have learned from the events,
    `WeightsError` if it does not fit.
    """
    if name == NONE:
        return None, "The scorer starts untrained."
    if name is None:
        packaged, why_not = unseen_packaged(dataset, base)
        if packaged is None:
            return None, f"The scorer starts untrained, not from the packaged adapter: {why_not}."
        found = packaged
    else:
        found = load(folder_of(name))
        if found.base != base:
            raise WeightsError(f"{name} was trained on {found.base}, not on {base}; use --start {NONE}")
        if (seen := why_seen(found, dataset)) is not None:
            raise SeenBefore(
                f"{name} may not be judged by these events: {seen}. Use --start {NONE}, an adapter that learned from "
                "other data, or only later events."
            )
    sources = ", ".join(one.data for one in found.learned) or "other events"
    origin = "the packaged adapter" if name in {None, PACKAGED} else f"the adapter {found.version}"
    return found, (
        f"The scorer starts from the heads, LoRA and mean reading of {origin}, which learned from {sources} and from "
        "none of these events. Parameters of single items start untrained."
    )


def to_continue(  # noqa: PLR0917
    name: str | None, dataset: Dataset, base: str, layers: int, rank: int, tell: Callable[[str], None]
) -> str | None:
    """The adapter that a training starts from, as `folder_of` takes it; None for none.

    Without a `name` it is the packaged adapter where that fits these sizes and has not seen the events; `tell` gets a
    sentence on it.
    """
    if name is not None:
        return None if name == NONE else name
    packaged, why_not = unseen_packaged(dataset, base)
    if packaged is not None and (packaged.shape.layers, packaged.shape.rank) != (layers, rank):
        why_not = f"it has {packaged.shape.layers} layers and LoRA of rank {packaged.shape.rank}"
    if why_not:
        tell(f"starting untrained, not from the packaged adapter: {why_not}")
        return None
    tell("starting from the packaged adapter; --start none would start untrained")
    return PACKAGED


def unseen_packaged(dataset: Dataset, base: str) -> tuple[Adapter | None, str]:
    """The packaged adapter, if it fits the language model `base` and cannot have seen these events; else None and the
    reason."""
    found = load(SHIPPED / DEFAULT)
    if found.base != base:
        return None, f"it belongs to {found.base}"
    why_not = why_seen(found, dataset)
    return (found, "") if why_not is None else (None, why_not)


def why_seen(adapter: Adapter, dataset: Dataset) -> str | None:
    """Why an adapter may have learned some of these events; None if it has not."""
    first = min((event.ts for event in dataset.events), default=0)
    if adapter.learned:
        until = seen_until(adapter.learned, digests((item.id, item.title) for item in dataset.items))
        return None if until is None or until <= first else f"it learned from the same items, before {day(until)}"
    if adapter.cut is None:
        return "it does not say what it learned from"
    if adapter.cut.ts <= first:
        return None
    return f"it does not say what it learned from, which was before {day(adapter.cut.ts)}"
