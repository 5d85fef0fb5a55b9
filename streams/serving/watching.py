"""What the list path tells a live view, while one is open."""

from typing import Protocol

from schemas.events import Event
from schemas.recommendations import Recommendation
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Pair


class Watcher(Protocol):
    """A live view. While it is not `watching`, the list path tells it nothing and does nothing for it."""

    @property
    def watching(self) -> bool: ...

    def asked(self, event: Event) -> None:
        """An event calls for a list."""

    def published(self, made: Recommendation, compared: Compared | None) -> None:
        """A list is out; `compared` as in `streams.ranking.comparison`, None for a user outside the sample."""

    def paired(self, user: str, name: str, pair: Pair) -> None:
        """Both versions have ordered the list `name` of a user."""

    def forget(self, user: str) -> bool:
        """Drop what is held of an erased user; whether there was something."""


class Unwatched:
    """No view."""

    watching = False

    def asked(self, event: Event) -> None:
        pass

    def published(self, made: Recommendation, compared: Compared | None) -> None:
        pass

    def paired(self, user: str, name: str, pair: Pair) -> None:
        pass

    def forget(self, user: str) -> bool:
        return False


UNWATCHED = Unwatched()
