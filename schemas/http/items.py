"""Items over HTTP: `/v1/items/{id}` and `GET /v1/search`."""

from typing import Annotated

import msgspec
from msgspec import Meta

from schemas.limits import (
    MAX_ATTRIBUTES,
    MAX_MESSAGE_BYTES,
    Attribute,
    Finite,
    Id,
    Published,
    Text,
    Title,
    Vector,
)

MAX_ITEM_BYTES = 2 * MAX_MESSAGE_BYTES
"""As JSON, numbers of vectors take more room."""

MAX_QUERY = 80
MAX_RANKED = 500
"""Matches of a search that are ranked, and can be reached by pages."""

MAX_RESULTS = 100


class ItemPath(msgspec.Struct, frozen=True, kw_only=True):
    id: Id


class ItemBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An item without its id, which is in the path. The fields are those of `Item`."""

    title: Title
    text: Text = ""
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MAX_ATTRIBUTES)] = ()
    published: Published | None = None
    image: Vector | None = None
    audio: Vector | None = None


class ItemView(ItemBody, frozen=True, kw_only=True, omit_defaults=True):
    """An item of the catalogue, as this worker has it."""

    id: Id


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The item whose change Kafka has. Workers apply it within a fraction of a second."""

    id: Id


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`q`: words of a title, an attribute or a text, the last of which may be incomplete. With `user`, what matches is
    in the order in which this user would get it. The results from `offset` on, at most `limit`."""

    q: Annotated[str, Meta(min_length=1, max_length=MAX_QUERY)]
    user: Id | None = None
    offset: Annotated[int, Meta(ge=0, lt=MAX_RANKED)] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_RESULTS)] = 20


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """An item that matches. `score` compares it with the other results; `seen` says whether the user has met it,
    `in_title` whether its title has all the words."""

    item: Id
    title: Title
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=MAX_ATTRIBUTES)]
    score: Finite
    seen: bool
    in_title: bool


class SearchResults(msgspec.Struct, frozen=True, kw_only=True):
    """`matched` items match, of which `ranked` can be reached by pages; `whole` is false if more may match. `next` is
    the offset of the next page, null on the last."""

    matched: int
    ranked: int
    whole: bool
    results: Annotated[tuple[SearchResult, ...], Meta(max_length=MAX_RESULTS)]
    next: int | None
