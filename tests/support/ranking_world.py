"""A small world to rank in: a catalogue, an item graph in both roles, and users whose events are folded."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.recommendations import Entry
from streams.fold.context import EMPTY, Context, fold
from streams.fold.covisits import covisits, messages
from streams.graph.item_graph import Counting, ItemGraph
from streams.items.catalogue import Catalogue
from streams.ranking.blend import Blend
from streams.ranking.drawing import Noise
from streams.ranking.exploration import NO_EXPLORATION
from streams.ranking.ranker import Ranker
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Prepared, Shortlist
from streams.steering.wish import Wish

NOW = 1_700_000_000_000
PLAIN = Ranking(diversity=0.0, exploration=NO_EXPLORATION)


def item(name: str, title: str = "", attributes: Sequence[str] = (), published: int | None = None) -> Item:
    return Item(id=name, title=title or name.title(), attributes=tuple(attributes), published=published)


def done(
    user: str,
    what: str,
    kind: EventKind = EventKind.LIKE,
    *,
    at: int = 0,
    scene: str = "home",
    value: float | None = None,
) -> Event:
    return Event(
        id=f"{user}-{what}-{kind.value}-{at}", user=user, kind=kind, ts=NOW + at, item=what, scene=scene, value=value
    )


@dataclass
class World:
    """Everything that a list needs. Events are counted and folded in the order in which they come."""

    items: Sequence[Item] = ()
    counting: Counting = field(default_factory=Counting)
    catalogue: Catalogue = field(default_factory=Catalogue)
    people: dict[str, Context] = field(default_factory=dict)
    offset: int = 0

    def __post_init__(self) -> None:
        for one in self.items:
            self.catalogue.add(one)
        self.graph = ItemGraph(self.catalogue.index, self.counting)

    def tell(self, *events: Event) -> None:
        for event in events:
            before = self.people.get(event.user, EMPTY)
            for told in messages(0, covisits(before, event, self.offset, 0)):
                self.graph.learn(told)
            self.people[event.user] = fold(before, event, self.offset)
            self.offset += 1

    def ranker(self, settings: Ranking = PLAIN) -> Ranker:
        return Ranker(self.catalogue, self.graph, settings)

    def shortlist(
        self,
        user: str,
        scene: str = "home",
        *,
        blend: Blend | None = None,
        settings: Ranking = PLAIN,
        now_ms: int = NOW,
        wishes: tuple[Wish, ...] = (),
    ) -> Shortlist:
        ready = self.prepared(user, scene, settings=settings, now_ms=now_ms, wishes=wishes)
        return self.ranker(settings).shortlist(ready, blend or Blend())

    def prepared(
        self,
        user: str,
        scene: str = "home",
        *,
        settings: Ranking = PLAIN,
        now_ms: int = NOW,
        wishes: tuple[Wish, ...] = (),
    ) -> Prepared:
        return self.ranker(settings).prepare(self.people.get(user, EMPTY), scene, now_ms=now_ms, wishes=wishes)

    def listed(
        self,
        user: str,
        scene: str = "home",
        *,
        blend: Blend | None = None,
        settings: Ranking = PLAIN,
        now_ms: int = NOW,
        seed: int = 1,
    ) -> tuple[Entry, ...]:
        """The user's list without a model."""
        chosen = self.shortlist(user, scene, blend=blend, settings=settings, now_ms=now_ms)
        return self.ranker(settings).assemble(chosen, blend or Blend(), Noise(str(seed)))

    def ids(self, chosen: Shortlist) -> list[str]:
        """The candidates, best first."""
        return [self.catalogue.index[int(chosen.candidates.numbers[at])] for at in chosen.order]
