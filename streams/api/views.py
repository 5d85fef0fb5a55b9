"""What the API shows of lists and of users. Pure."""

from collections.abc import Iterable

from schemas.http.lists import ListEntry, RecommendedList
from schemas.http.users import Interaction, Interactions, OpenList, SceneView, SteerView, UserContext
from schemas.recommendations import Entry, Recommendation
from streams.fold.attribution import Exposure
from streams.fold.context import Context
from streams.fold.context import Interaction as Folded
from streams.items.catalogue import Catalogue
from streams.serving.one_off import OneOffList

MARK_BYTES = 8
"""Of the digest of an item that was seen."""


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


def context_view(user: str, context: Context) -> UserContext:
    """What lists for a user are made from."""
    return UserContext(
        user=user,
        ts=context.ts,
        scenes={
            name: SceneView(
                recent=_interactions(scene.recent),
                likes=_interactions(scene.likes),
                dislikes=_interactions(scene.dislikes),
                liked=scene.liked,
                met=scene.met,
            )
            for name, scene in context.scenes.items()
        },
        steers=tuple(SteerView(text=each.text, ts=each.ts, event=f"{each.event:016x}") for each in context.steers),
        seen=len(context.seen) // MARK_BYTES,
    )


def open_lists(exposure: Exposure) -> tuple[OpenList, ...]:
    """The user's published lists that wait for a reaction."""
    return tuple(
        OpenList(id=each.list, ts=each.ts, scene=each.scene, items=each.items, model_version=each.model_version)
        for each in exposure.lists
    )


def _interactions(done: Iterable[Folded]) -> Interactions:
    return tuple(
        Interaction(item=one.item, kind=one.kind, ts=one.ts, event=f"{one.event:016x}", value=one.value) for one in done
    )
