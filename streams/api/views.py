"""What the API shows of lists. Pure."""

from collections.abc import Iterable

from schemas.http.lists import ListEntry, RecommendedList
from schemas.recommendations import Entry, Recommendation
from streams.fold.context import Context
from streams.items.catalogue import Catalogue
from streams.serving.one_off import OneOffList


def published_list(made: Recommendation, catalogue: Catalogue, count: int | None = None) -> RecommendedList:
    """A list on `ouzel.recommendations`, without items that were withdrawn since."""
    return RecommendedList(
        entries=_entries(made.entries[:count], catalogue),
        origin="published",
        cold=False,
        scene=made.scene,
        ts=made.ts,
        took_ms=made.took_ms,
        model_version=made.model_version,
        degraded=made.degraded,
        unasked=made.unasked,
        wishes=made.wishes,
        id=made.id,
        trigger=made.trigger,
    )


def made_list(made: OneOffList, catalogue: Catalogue, *, cold: bool) -> RecommendedList:
    """A one-off list."""
    return RecommendedList(
        entries=_entries(made.entries, catalogue),
        origin="made",
        cold=cold,
        scene=made.scene,
        ts=made.ts,
        took_ms=made.took_ms,
        model_version=made.model_version,
        degraded=made.degraded,
        unasked=made.unasked,
        wishes=made.wishes,
    )


def is_cold(context: Context) -> bool:
    """Whether nothing is known of what a user likes or wants."""
    return not (context.scenes or context.steers)


def _entries(entries: Iterable[Entry], catalogue: Catalogue) -> tuple[ListEntry, ...]:
    return tuple(
        ListEntry(item=entry.item, title=item.title, score=entry.score, reason=entry.reason)
        for entry in entries
        if (item := catalogue.get(entry.item)) is not None
    )
