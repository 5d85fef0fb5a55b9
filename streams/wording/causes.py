"""The cause of an entry in words: made of the facts of `streams.ranking.causes` alone. Pure."""

from collections.abc import Callable

from schemas.shown import shown_in_line
from streams.ranking.causes import Causes
from streams.wording.language import Language

LEAST = 0.005
"""A score that is lower by less than this, which is shown as 0.00, is not called lower."""


def named(causes: Causes, entry: int) -> int | None:
    """The event that raises the score of an entry most; None if none does."""
    if not len(causes.events):
        return None
    most = int(causes.adds[:, entry].argmax())
    return most if causes.adds[most, entry] >= LEAST else None


def sentence(causes: Causes, entry: int, title: Callable[[str], str], language: Language) -> str:
    """Which event counts most for an entry, and what the entry would be without it. `title` names an item."""
    count = len(causes.events)
    if not count:
        return language.say_of("nothing", count)
    event = named(causes, entry)
    if event is None:
        return language.say_of("none", count)
    done = causes.events[event]
    place, without = int(causes.place[entry]), int(causes.place_without[event, entry])
    lower = language.say(
        "lower",
        "same" if place == without else "moved",
        adds=language.number(float(causes.adds[event, entry]), "0.00"),
        place=language.number(place),
        place_without=language.number(without),
    )
    did = language.say("did", done.kind.value, title=shown_in_line(title(done.item)))
    return language.say_of("raises", count, did=did, lower=lower)
