"""The lists that Ouzel publishes: the values of `ouzel.recommendations`, keyed by user."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import (
    MAX_BECAUSE,
    MAX_LIST_ENTRIES,
    MAX_MEANINGS,
    MAX_SOURCES,
    MAX_STEERS,
    Digest,
    Finite,
    Id,
    Millis,
    Offset,
    Partition,
    Probability,
    Scene,
    Sentence,
    SourceName,
    Strength,
    Title,
)


class Source(StrEnum):
    """The built-in candidate sources. A worker may have others: names that a reader does not know are as good."""

    COVISITED = "covisited"
    TRENDING = "trending"
    FRESH = "fresh"
    ALIKE = "alike"
    NEAREST = "nearest"
    EXPLORED = "explored"
    NEW = "new"
    WISHED = "wished"


class Degraded(StrEnum):
    """Why a list was made without the model."""

    DEADLINE = "deadline"
    UNAVAILABLE = "unavailable"
    OVERLOADED = "overloaded"
    INVALID = "invalid"
    CIRCUIT_OPEN = "circuit_open"
    DISABLED = "disabled"


class Unasked(StrEnum):
    """Why the model was not asked about a list, although it could have been."""

    ADDS_NOTHING = "adds_nothing"


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an entry is on the list, from evidence only.

    `code` is the candidate source whose evidence it is, or `new` for a new item on a place for new items; `because` are
    the items of the user's history that count most.
    """

    code: SourceName
    text: Annotated[str, Meta(max_length=400)]
    because: Annotated[tuple[Id, ...], Meta(max_length=MAX_BECAUSE)] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place on a list. `score` orders the list: it is that of the item when it was chosen, and at most that of the
    entry above, which may be less likely. `behavioural` and `model` are the parts that it blends.

    `propensity` is the probability with which the policy puts this item in this place, given the candidates and the
    entries above. The product of the propensities of a list is the probability of the list.
    `contributions` are what the evidence of each candidate source adds to the blended score, before diversity; one that
    is absent adds 0.
    """

    item: Id
    score: Finite
    behavioural: Finite
    propensity: Probability
    sources: Annotated[tuple[SourceName, ...], Meta(max_length=MAX_SOURCES)]
    reason: Reason
    model: Finite | None = None
    contributions: Annotated[dict[SourceName, Finite], Meta(max_length=MAX_SOURCES)] = {}


class Wished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sentence of the user that holds until `until`, and how the model read it.

    `means` has what the sentence asks more of (above 0, at most 1) or less (below 0, at least -1): attributes, and the
    titles of items. Empty if it asks for nothing that the catalogue has. `read` is false while the model has not read
    the sentence: it had no part in the list then.
    """

    text: Sentence
    until: Millis
    means: Annotated[dict[Title, Strength], Meta(max_length=MAX_MEANINGS)] = {}
    read: bool = True


class Recommendation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="v", tag=1):
    """A user's next list, best first.

    `trigger` is the id of the event that the list answers, at `partition`/`offset` of `ouzel.events`. `freshness_ms` is
    the age of that event when the list was published; `took_ms`, the time from taking up the trigger to publishing.
    `degraded` is set when the model failed to have a part in the list, and says why; `unasked`, when it was left out on
    purpose: such a list is as good as one with it. `wishes` are the sentences of the user that hold. `context` is the
    digest of the newest events that the list was made from: who rebuilds the user's context from a log can check that
    it is the same.
    """

    id: Id
    user: Id
    scene: Scene
    ts: Millis
    trigger: Id
    partition: Partition
    offset: Offset
    entries: Annotated[tuple[Entry, ...], Meta(max_length=MAX_LIST_ENTRIES)]
    model_version: Id | None = None
    degraded: Degraded | None = None
    unasked: Unasked | None = None
    freshness_ms: Finite
    took_ms: Finite
    context: Digest | None = None
    wishes: Annotated[tuple[Wished, ...], Meta(max_length=MAX_STEERS)] = ()
