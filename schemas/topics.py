"""The topics: their names, keys, and how each is kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """`partitions` is relative: "events" follows the events' partitions, "items" the catalogue's, "one" is always 1."""

    name: str
    compacted: bool = False
    partitions: str = "events"
    internal: bool = False


ITEMS = Topic("ouzel.items", compacted=True, partitions="items")
EVENTS = Topic("ouzel.events")
RECOMMENDATIONS = Topic("ouzel.recommendations")
FEEDBACK = Topic("ouzel.feedback")
DEAD_LETTERS = Topic("ouzel.dead-letters", partitions="one")
CONTEXTS = Topic("ouzel.contexts", compacted=True, internal=True)
COVISITS = Topic("ouzel.covisits", partitions="items", internal=True)
NEIGHBOURS = Topic("ouzel.neighbours", compacted=True, partitions="items", internal=True)
MODELS = Topic("ouzel.models", compacted=True, partitions="one", internal=True)
PRIVACY = Topic("ouzel.privacy", compacted=True)
PRIVACY_RECEIPTS = Topic("ouzel.privacy-receipts", partitions="one")

ALL = (
    ITEMS,
    EVENTS,
    RECOMMENDATIONS,
    FEEDBACK,
    DEAD_LETTERS,
    CONTEXTS,
    COVISITS,
    NEIGHBOURS,
    MODELS,
    PRIVACY,
    PRIVACY_RECEIPTS,
)
