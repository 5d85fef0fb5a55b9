"""A simulated bookshop: books with texts, and readers whose tastes are planted in these texts and drift.

A book has one or two themes, and its title and description are drawn from their words; its attributes are its form
and a department of four themes. A reader likes a few themes, chooses among the books of one of them by popularity, and
now and then takes up another theme. Part of what they open is a bestseller of any theme, which they seldom like. So
texts tell what counts of single books cannot as long as events are few. Nothing here was fitted to any figure.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from deploy.datasets.dataset import Dataset
from schemas.events import Event, EventKind
from schemas.items import Item

THEMES = {
    "seafaring": "harbour captain storm lighthouse mutiny whale voyage anchor island tide",
    "espionage": "agent cipher embassy defector border dossier safehouse mole courier exile",
    "gardening": "orchard rose greenhouse seed soil pruning hedge herb blossom compost",
    "cooking": "kitchen bread saffron recipe feast oven spice market vineyard pastry",
    "astronomy": "comet telescope galaxy orbit eclipse nebula observatory planet meteor satellite",
    "haunting": "ghost manor attic whisper graveyard candle séance shadow cellar curse",
    "detection": "inspector alibi murder witness fingerprint poison motive corpse clue verdict",
    "romance": "letter wedding ballroom kiss promise longing bride heart spring sweetheart",
    "mountains": "summit glacier rope avalanche ridge basecamp sherpa crevasse hut blizzard",
    "music": "violin opera piano conductor melody jazz choir guitar rehearsal concert",
    "empire": "emperor legion senate gladiator conquest province temple aqueduct triumph palace",
    "robots": "android circuit laboratory code sentience factory machine drone algorithm upgrade",
    "horses": "stable mare racecourse saddle gallop foal jockey meadow bridle herd",
    "medicine": "surgeon ward plague vaccine nurse diagnosis fever clinic scalpel microscope",
    "money": "banker stock auction inheritance debt fortune merchant bankruptcy ledger trader",
    "childhood": "schoolyard summer treehouse bicycle grandmother marbles kite birthday classroom secret",
    "war": "trench battalion sniper siege medal regiment bomber prisoner armistice general",
    "magic": "wizard dragon spell amulet prophecy sword enchantment oracle goblin throne",
    "painting": "canvas portrait studio fresco pigment gallery forger muse sketch restorer",
    "desert": "caravan dune oasis nomad mirage camel sandstorm salt well bazaar",
}
FORMS = ("novel", "stories", "handbook", "memoir", "illustrated")
TITLES = ("The {0} and the {1}", "A {0} of the {1}", "The Last {0}", "{0} and {1}", "Beyond the {0}", "The {0}'s {1}")
TOLD = (
    "A {form} of {theme}: the {0}, the {1} and the {2}.",
    "About a {0}, a {1} and what the {2} had hidden.",
    "All begins with a {0}; then comes the {1}, and at last the {2}.",
)
BEGIN, DAY = 1_600_000_000_000, 86_400_000


@dataclass(frozen=True)
class Shop:
    """`books` of which `events` are made by about one reader in `each` events. `seed` draws everything. `drift` is the
    chance that a reader takes up another theme with an event, `bestsellers` the share of events from outside the
    reader's themes. `days` is the time that the events take."""

    books: int = 1_500
    events: int = 100_000
    each: int = 60
    drift: float = 0.02
    bestsellers: float = 0.3
    days: int = 365
    seed: int = 0


@dataclass
class _Reader:
    begins: float
    themes: list[str]
    met: set[int] = field(default_factory=set)


def simulated(shop: Shop = Shop()) -> Dataset:
    """The books and events of a shop, the same for a seed."""
    random = Random(f"books {shop.seed}")
    books, shelves = _books(shop, random)
    popularity = [(random.random() + 0.01) ** -0.7 for _ in books]
    weights = {theme: _cumulated(shelf, popularity) for theme, shelf in shelves.items()}
    everything = list(range(len(books)))
    overall = _cumulated(everything, popularity)
    readers = [
        _Reader(random.random() * 0.9, random.sample(list(THEMES), random.choice((1, 2, 2, 3))))
        for _ in range(max(2, shop.events // shop.each))
    ]
    busy = [random.lognormvariate(0.0, 1.0) for _ in readers]
    moments = sorted(
        (reader.begins + (1 - reader.begins) * random.random() ** 2, number)
        for number, reader in ((at, readers[at]) for at in random.choices(range(len(readers)), busy, k=shop.events))
    )
    events: list[Event] = []
    for moment, number in moments:
        reader = readers[number]
        if random.random() < shop.drift:
            reader.themes[random.randrange(len(reader.themes))] = random.choice(list(THEMES))
        outside = random.random() < shop.bestsellers
        theme = random.choice(reader.themes)
        shelf, cumulated = (everything, overall) if outside else (shelves[theme], weights[theme])
        book = shelf[bisect_left(cumulated, random.random() * cumulated[-1])]
        if book in reader.met:
            continue
        reader.met.add(book)
        liked = random.random() < (0.75 if any(book in shelves[own] for own in reader.themes) else 0.15)
        kind = EventKind.LIKE if liked else EventKind.VIEW
        ts = BEGIN + int(moment * shop.days * DAY)
        events.append(Event(id=f"s{len(events)}", user=f"r{number}", kind=kind, ts=ts, item=books[book].id))
    note = f"simulated books, seed {shop.seed}; {len(THEMES)} themes, {len(books):,} books"
    return Dataset(tuple(books), tuple(events), note)


def _books(shop: Shop, random: Random) -> tuple[list[Item], dict[str, list[int]]]:
    """The books, and the numbers of those of each theme."""
    books: list[Item] = []
    shelves: dict[str, list[int]] = {theme: [] for theme in THEMES}
    for number in range(shop.books):
        themes = random.sample(list(THEMES), random.choice((1, 1, 2)))
        words = random.sample(sorted({word for theme in themes for word in THEMES[theme].split()}), 5)
        form = random.choice(FORMS)
        for theme in themes:
            shelves[theme].append(number)
        departments = {f"department {list(THEMES).index(theme) // 4 + 1}": None for theme in themes}
        title = random.choice(TITLES).format(*(word.capitalize() for word in words))
        told = random.choice(TOLD).format(*words[2:], form=form, theme=themes[0])
        books.append(Item(id=f"b{number}", title=title, attributes=(form, *departments), text=told))
    return books, {theme: shelf or [0] for theme, shelf in shelves.items()}


def _cumulated(shelf: list[int], popularity: list[float]) -> list[float]:
    return list(accumulate(popularity[book] for book in shelf))
