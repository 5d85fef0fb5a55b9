"""The guests of the page: new users that a visitor starts, and what each has done. Pure.

A visitor can act only as a guest whose key they hold: never as a user of the product. At most
`MAX_GUESTS`, with the last `MAX_DONE` events each; the guest who has been idle for longest is evicted, and stays a user
like any other. About 30 KiB a guest.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.events import Event
from schemas.shown import shown_in_line
from streams.page.views import View

MAX_GUESTS = 256
MAX_DONE = 100

PREFIX = "guest-"
"""Of a guest's user id."""


@dataclass
class Guest:
    """A user whom a visitor plays. `key` proves it; `withdrawn` are ids of events among `done`."""

    key: str
    user: str
    done: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_DONE))
    withdrawn: set[str] = field(default_factory=set)

    def add(self, event: Event) -> None:
        if len(self.done) == MAX_DONE:
            self.withdrawn.discard(self.done[0].id)
        self.done.append(event)

    def may_withdraw(self, event: str) -> bool:
        """Whether this guest has done the event and not withdrawn it."""
        return event not in self.withdrawn and any(each.id == event for each in self.done)


class DoneView(View, frozen=True, kw_only=True):
    """An event of the guest's, with the id to withdraw it by. `title` is that of its item, or the sentence."""

    id: str
    kind: str
    at: int
    title: str
    withdrawn: bool


class GuestView(View, frozen=True, kw_only=True):
    """A guest and what they did, newest first."""

    user: str
    done: tuple[DoneView, ...]


def guest_view(guest: Guest, named: Callable[[str], str | None]) -> GuestView:
    """What a guest did; `named` is the title of an item, None if it is not in the catalogue."""
    return GuestView(
        user=guest.user,
        done=tuple(
            DoneView(
                id=event.id,
                kind=event.kind.value,
                at=event.ts,
                title=shown_in_line(event.text) if event.text else named(event.item or "") or "",
                withdrawn=event.id in guest.withdrawn,
            )
            for event in reversed(guest.done)
        ),
    )


class Guests:
    """The guests by key, the most recent last."""

    def __init__(self, most: int = MAX_GUESTS) -> None:
        self._most = most
        self._held: OrderedDict[str, Guest] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, key: str, user: str) -> Guest:
        guest = self._held[key] = Guest(key, user)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return guest

    def find(self, key: str) -> Guest | None:
        """The guest with this key, who now counts as active."""
        guest = self._held.get(key)
        if guest is not None:
            self._held.move_to_end(key)
        return guest

    def drop(self, key: str) -> None:
        self._held.pop(key, None)
