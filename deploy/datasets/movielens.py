"""MovieLens-100K: ratings of films by real users, read at run time from the installed recbole package.

F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015. The terms allow
research and forbid redistribution, so the data is never copied into the project. recbole itself is never imported.
"""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from deploy.datasets.ordering import drawn
from deploy.errors import MissingPart
from schemas.events import Event, EventKind
from schemas.items import Item

PACKAGE = "recbole"
FOLDER = "recbole/dataset_example/ml-100k"
INSTALL = "pip install --no-deps recbole==1.2.1"


def find() -> Path:
    """Find the folder of the data. Raises `MissingPart` with the command that installs it."""
    try:
        folder = Path(str(distribution(PACKAGE).locate_file(FOLDER)))
    except PackageNotFoundError:
        raise MissingPart("MovieLens-100K", f"It comes with the {PACKAGE} package: run `{INSTALL}`.") from None
    if not (folder / "ml-100k.inter").is_file() or not (folder / "ml-100k.item").is_file():
        raise MissingPart(f"MovieLens-100K in {folder}", f"Another version of {PACKAGE} is installed: run `{INSTALL}`.")
    return folder


def items(folder: Path | None = None) -> tuple[Item, ...]:
    """The 1,682 films, with the year in the title and genres as attributes."""
    return tuple(_film(*row) for row in _rows((folder or find()) / "ml-100k.item", 4))


def events(seed: int = 0, folder: Path | None = None) -> tuple[Event, ...]:
    """The 100,000 ratings as `rate` events, sorted by second, ties in random order from `seed`.

    Half of a user's consecutive ratings have the same second, and their order strongly affects the figures: hence a
    random order, never the file's. Event ids are the same under every seed.
    """
    return tuple(drawn(rated(folder), seed))


def rated(folder: Path | None = None) -> tuple[Event, ...]:
    """The same events in the order of the file, which is not sorted by time."""
    return tuple(_rating(at, *row) for at, row in enumerate(_rows((folder or find()) / "ml-100k.inter", 4)))


def _film(item: str, title: str, year: str, genres: str) -> Item:
    return Item(
        id=item, title=f"{title} ({year})" if year.isdecimal() else title or item, attributes=tuple(genres.split())
    )


def _rating(row: int, user: str, item: str, rating: str, second: str) -> Event:
    ts = round(float(second) * 1000)
    return Event(id=f"ml-{row}", user=user, item=item, kind=EventKind.RATE, value=float(rating), ts=ts)


def _rows(path: Path, width: int) -> Iterator[list[str]]:
    """The rows of a tab-separated file below its header."""
    with path.open(encoding="utf-8") as file:
        next(file)
        for line in file:
            row = line.rstrip("\n").split("\t")
            if len(row) == width:
                yield row
