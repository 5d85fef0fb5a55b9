"""What the list path tells those who show lists: the page while one is open, and the API while it is on."""

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

    def revoke(self, partition: int) -> None:
        """Drop what is held of the users of a partition that is no longer ours: their erasures are carried out
        elsewhere."""


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

    def revoke(self, partition: int) -> None:
        pass


class Watchers:
    """Several views. Each is told while it watches, and always of what to drop."""

    def __init__(self, *views: Watcher) -> None:
        self._views = views

    @property
    def watching(self) -> bool:
        return any(view.watching for view in self._views)

    def asked(self, event: Event) -> None:
        for view in self._views:
            if view.watching:
                view.asked(event)

    def published(self, made: Recommendation, compared: Compared | None) -> None:
        for view in self._views:
            if view.watching:
                view.published(made, compared)

    def paired(self, user: str, name: str, pair: Pair) -> None:
        for view in self._views:
            if view.watching:
                view.paired(user, name, pair)

    def forget(self, user: str) -> bool:
        dropped = [view.forget(user) for view in self._views]
        return any(dropped)

    def revoke(self, partition: int) -> None:
        for view in self._views:
            view.revoke(partition)


UNWATCHED = Unwatched()
