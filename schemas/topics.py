"""The topics: names, keys, values and cleanup policies."""

from dataclasses import dataclass

import msgspec

from schemas.blends import BlendPart
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.items import Item
from schemas.models import Comparison, ModelAck, ModelStatus
from schemas.neighbours import Covisits, Neighbours
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.recommendations import Recommendation


@dataclass(frozen=True)
class Topic:
    """One topic.

    `partitions` is relative: "events" has as many as the events topic, "items" as many as the catalogue, "one" is
    always 1. `key` names the field of the value that is the record's key. `value` is None if the values are not part of
    the contract.
    """

    name: str
    compacted: bool = False
    partitions: str = "events"
    internal: bool = False
    key: str = "user"
    value: type[msgspec.Struct] | None = None


ITEMS = Topic("ouzel.items", compacted=True, partitions="items", key="id", value=Item)
EVENTS = Topic("ouzel.events", value=Event)
RECOMMENDATIONS = Topic("ouzel.recommendations", value=Recommendation)
FEEDBACK = Topic("ouzel.feedback", value=Feedback)
DEAD_LETTERS = Topic("ouzel.dead-letters", partitions="one", key="key", value=DeadLetter)
CONTEXTS = Topic("ouzel.contexts", compacted=True, internal=True)
COVISITS = Topic("ouzel.covisits", partitions="items", internal=True, key="item", value=Covisits)
NEIGHBOURS = Topic("ouzel.neighbours", compacted=True, partitions="items", internal=True, key="item", value=Neighbours)
BLENDS = Topic("ouzel.blends", compacted=True, partitions="one", internal=True, key="id", value=BlendPart)
MODELS = Topic("ouzel.models", compacted=True, partitions="one", internal=True, key="version", value=ModelStatus)
MODEL_ACKS = Topic("ouzel.model-acks", compacted=True, partitions="one", internal=True, key="worker", value=ModelAck)
COMPARISONS = Topic("ouzel.comparisons", internal=True, key="list", value=Comparison)
PRIVACY = Topic("ouzel.privacy", compacted=True, value=ErasureOrder)
PRIVACY_RECEIPTS = Topic("ouzel.privacy-receipts", partitions="one", value=ErasureReceipt)

ALL = (
    ITEMS,
    EVENTS,
    RECOMMENDATIONS,
    FEEDBACK,
    DEAD_LETTERS,
    CONTEXTS,
    COVISITS,
    NEIGHBOURS,
    BLENDS,
    MODELS,
    MODEL_ACKS,
    COMPARISONS,
    PRIVACY,
    PRIVACY_RECEIPTS,
)
