"""What the page shows, as JSON for a browser: a list, an event, a feed of both, and the worker's figures. Pure.

All texts are untrusted: they are shortened by the contract's bounds, freed of control and bidirectional characters
here, and shown as text there. Ids stay as they are, since the browser sends them back; it never shows them as markup.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from schemas.events import Event
from schemas.recommendations import Recommendation
from schemas.shown import shown_in_line
from streams.fold.context import Context, Interaction, lately
from streams.items.catalogue import Catalogue
from streams.ranking.comparison import Compared
from streams.serving.explaining import Explained
from streams.wording.causes import sentence
from streams.wording.language import Language

MAX_SHOWN_ENTRIES = 10
MAX_HISTORY = 12
MAX_TAGS = 4
MAX_CAUSES = 5
FEED_TITLES = 3

Name = Callable[[str], str]
"""From an item's id to the title shown for it."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what the page shows."""


class ItemView(View, frozen=True, kw_only=True):
    id: str
    title: str
    tags: tuple[str, ...] = ()


class Did(View, frozen=True, kw_only=True):
    """What a user did, `at` milliseconds since 1970."""

    user: str
    kind: str
    at: int
    title: str = ""
    value: float | None = None


class EntryView(View, frozen=True, kw_only=True):
    """One place on a list. `place` counts from 1; `was` is the item's place on the list before and `without_model` that
    on the list without the model, None if it was not there."""

    item: ItemView
    place: int
    was: int | None
    without_model: int | None
    score: float
    model: float | None
    behavioural: float
    propensity: float
    sources: tuple[str, ...]
    code: str
    reason: str
    contributions: dict[str, float]


class WishView(View, frozen=True, kw_only=True):
    """A sentence of the user that holds until `until`, with the names of which it asks for more (above 0) or less,
    strongest first. `read`: whether the model has read it."""

    text: str
    until: int
    means: tuple[tuple[str, float], ...]
    read: bool


class ListView(View, frozen=True, kw_only=True):
    """A user's list. `reflects` is the event that it answers, if it was seen. `left` are the titles that were on the
    list before and are gone; None on the first list. `without_model`, `popular` and `item_knn` are the rankings that it
    is compared with; None if the user is not in the sample."""

    id: str
    user: str
    at: int
    version: str | None
    degraded: str | None
    freshness_ms: float
    took_ms: float
    reflects: Did | None
    entries: tuple[EntryView, ...]
    left: tuple[str, ...] | None
    without_model: tuple[ItemView, ...] | None
    popular: tuple[ItemView, ...] | None
    item_knn: tuple[ItemView, ...] | None
    history: tuple[Did, ...]
    wishes: tuple[WishView, ...] = ()


class CauseView(View, frozen=True, kw_only=True):
    """An event of the user, what it adds to the score of an entry, and the place by score without it, from 1."""

    did: Did
    adds: float
    place: int


class WhyView(View, frozen=True, kw_only=True):
    """Why an entry is on a list: the sentence, in the language `language`, and the events that change the score most,
    of the last `events`. `score` and `place`, from 1, are before diversity; `version` is the model's."""

    sentence: str
    language: str
    score: float
    place: int
    events: int
    causes: tuple[CauseView, ...]
    version: str | None


class FedList(View, frozen=True, kw_only=True):
    """A list in the feed: its first titles."""

    user: str
    at: int
    titles: tuple[str, ...]
    freshness_ms: float


class Fed(View, frozen=True, kw_only=True):
    """What happened since the last message of the feed, oldest first."""

    events: tuple[Did, ...]
    lists: tuple[FedList, ...]


class Offer(View, frozen=True, kw_only=True):
    """A user that a page may follow, under `id`, and what they did last."""

    id: str
    last: Did


class Hits(View, frozen=True, kw_only=True):
    """The share of judged likes that were on an open list, by ranking; None before the first."""

    judged: int
    list: float | None
    without_model: float | None
    popularity: float | None
    item_knn: float | None


class Pulse(View, frozen=True, kw_only=True):
    """The worker's figures. Rates are over the last five seconds, percentiles in milliseconds over the last lists seen
    since a page was opened."""

    events_per_second: float
    lists_per_second: float
    p50: float | None
    p99: float | None
    lists: int
    degraded: int
    hits: Hits
    pages: int
    dropped: int
    users: tuple[Offer, ...]


def namer(catalogue: Catalogue) -> Name:
    """Titles from a catalogue; an item that it lacks has its id."""

    def name(item: str) -> str:
        known = catalogue.get(item)
        return shown_in_line(item if known is None else known.title)

    return name


def item_view(catalogue: Catalogue, item: str) -> ItemView:
    known = catalogue.get(item)
    if known is None:
        return ItemView(id=item, title=shown_in_line(item))
    tags = tuple(shown_in_line(each) for each in known.attributes[:MAX_TAGS])
    return ItemView(id=item, title=shown_in_line(known.title), tags=tags)


def did(event: Event, name: Name) -> Did:
    title = name(event.item) if event.item is not None else shown_in_line(event.text or "")
    return Did(user=shown_in_line(event.user), kind=event.kind.value, at=event.ts, title=title, value=event.value)


def history(user: str, context: Context, scene: str, name: Name) -> tuple[Did, ...]:
    """The user's last events about items, newest first."""
    label = shown_in_line(user)
    return tuple(_did(label, done, name) for done in lately(context, scene)[: -MAX_HISTORY - 1 : -1])


def places(items: Iterable[str]) -> dict[str, int]:
    """The place of each item, from 1."""
    return {item: place for place, item in enumerate(items, start=1)}


def list_view(
    made: Recommendation,
    *,
    before: Recommendation | None,
    compared: Compared | None,
    reflects: Did | None,
    past: tuple[Did, ...],
    catalogue: Catalogue,
) -> ListView:
    """What the page shows of the list `made`, which follows `before`."""
    name = namer(catalogue)
    entries = made.entries[:MAX_SHOWN_ENTRIES]
    was = places(entry.item for entry in before.entries[:MAX_SHOWN_ENTRIES]) if before else {}
    plain = places(compared.without_model) if compared else {}
    now = {entry.item for entry in entries}
    return ListView(
        id=made.id,
        user=shown_in_line(made.user),
        at=made.ts,
        version=None if made.model_version is None else shown_in_line(made.model_version),
        degraded=None if made.degraded is None else made.degraded.value,
        freshness_ms=made.freshness_ms,
        took_ms=made.took_ms,
        reflects=reflects,
        entries=tuple(
            EntryView(
                item=item_view(catalogue, entry.item),
                place=place,
                was=was.get(entry.item),
                without_model=plain.get(entry.item),
                score=entry.score,
                model=entry.model,
                behavioural=entry.behavioural,
                propensity=entry.propensity,
                sources=entry.sources,
                code=entry.reason.code,
                reason=shown_in_line(entry.reason.text),
                contributions=entry.contributions,
            )
            for place, entry in enumerate(entries, start=1)
        ),
        left=None if before is None else tuple(name(item) for item in was if item not in now),
        without_model=None if compared is None else _ranked(compared.without_model, catalogue),
        popular=None if compared is None else _ranked(compared.popular, catalogue),
        item_knn=None if compared is None else _ranked(compared.item_knn, catalogue),
        history=past,
        wishes=tuple(
            WishView(
                text=shown_in_line(wish.text),
                until=wish.until,
                means=tuple(
                    (shown_in_line(name), strength)
                    for name, strength in sorted(wish.means.items(), key=lambda one: -abs(one[1]))
                ),
                read=wish.read,
            )
            for wish in made.wishes
        ),
    )


def why_view(explained: Explained, entry: int, language: Language, name: Name) -> WhyView:
    """What the page says of why an entry, by its row in `explained`, is on a list."""
    causes = explained.causes
    label = shown_in_line(explained.user)
    return WhyView(
        sentence=sentence(causes, entry, name, language),
        language=language.name,
        score=float(causes.score[entry]),
        place=int(causes.place[entry]),
        events=len(causes.events),
        causes=tuple(
            CauseView(
                did=_did(label, causes.events[at], name),
                adds=float(causes.adds[at, entry]),
                place=int(causes.place_without[at, entry]),
            )
            for at in causes.strongest(entry, MAX_CAUSES)
        ),
        version=None if explained.version is None else shown_in_line(explained.version),
    )


def _did(label: str, done: Interaction, name: Name) -> Did:
    return Did(user=label, kind=done.kind.value, at=done.ts, title=name(done.item), value=done.value)


def _ranked(items: Sequence[str], catalogue: Catalogue) -> tuple[ItemView, ...]:
    return tuple(item_view(catalogue, item) for item in items[:MAX_SHOWN_ENTRIES])


def fed_list(made: Recommendation, name: Name) -> FedList:
    titles = tuple(name(entry.item) for entry in made.entries[:FEED_TITLES])
    return FedList(user=shown_in_line(made.user), at=made.ts, titles=titles, freshness_ms=made.freshness_ms)


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The lowest of the values that `percent` of them do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def hits(judged: float, found: Mapping[str, float]) -> Hits:
    """The hit ratios from the worker's counts of judged likes and of hits by ranking."""

    def ratio(of: str) -> float | None:
        return found.get(of, 0.0) / judged if judged else None

    return Hits(
        judged=int(judged),
        list=ratio("list"),
        without_model=ratio("without_model"),
        popularity=ratio("popularity"),
        item_knn=ratio("item_knn"),
    )
