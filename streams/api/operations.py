"""Every operation of the API, in one table: what it takes and answers. Handlers and `openapi.json` follow from it."""

from typing import Any, NamedTuple

import msgspec

from schemas.http.events import MAX_EVENTS_BYTES, NewEvents, Sent
from schemas.http.items import (
    MAX_ITEM_BYTES,
    Changed,
    ItemBody,
    ItemPath,
    ItemView,
    SearchQuery,
    SearchResults,
)
from schemas.http.lists import MAX_RECOMMEND_BYTES, ListQuery, RecommendedList, RecommendRequest
from schemas.http.users import (
    Explanation,
    ExplanationPath,
    ExplanationQuery,
    Ordered,
    Steered,
    SteerRequest,
    UserContext,
    UserExport,
    UserPath,
)
from streams.api.problems import Kind

MAX_BODY_BYTES = 4 * 1024

EVERYWHERE = (Kind.TOKEN, Kind.ORIGIN, Kind.INVALID, Kind.RATE, Kind.FAILED)
OF_BODIES = (Kind.SLOW, Kind.TOO_LARGE, Kind.TYPE)
OF_USERS = (Kind.STARTING, Kind.OWNER)


class Operation(NamedTuple):
    """`path` and `query` are structs of strings and numbers; `body` is the type of the JSON, at most `most` bytes.
    `answer` is None for what is no JSON. `problems` are those beside `EVERYWHERE`."""

    name: str
    method: str
    route: str
    summary: str
    answer: Any
    status: int = 200
    path: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    body: Any = None
    most: int = MAX_BODY_BYTES
    problems: tuple[Kind, ...] = ()
    media: str = "application/json"

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind of problem that it may answer."""
        return (*EVERYWHERE, *(OF_BODIES if self.body is not None else ()), *self.problems)


OPERATIONS = (
    Operation(
        "sendEvents",
        "POST",
        "/v1/events",
        "Send one event or several; answered once Kafka has them.",
        Sent,
        202,
        body=NewEvents,
        most=MAX_EVENTS_BYTES,
        problems=(Kind.BROKERS,),
    ),
    Operation(
        "recommend",
        "POST",
        "/v1/recommend",
        "Make a list for a user, or for a context in the request. It is not published.",
        RecommendedList,
        body=RecommendRequest,
        most=MAX_RECOMMEND_BYTES,
        problems=(Kind.CHANGED, Kind.BUSY, *OF_USERS),
    ),
    Operation(
        "getRecommendations",
        "GET",
        "/v1/recommendations/{user}",
        "The last list that was published for a user; if this worker holds none, one that is made now.",
        RecommendedList,
        path=UserPath,
        query=ListQuery,
        problems=(Kind.CHANGED, Kind.BUSY, *OF_USERS),
    ),
    Operation(
        "getItem",
        "GET",
        "/v1/items/{id}",
        "An item of the catalogue.",
        ItemView,
        path=ItemPath,
        problems=(Kind.NOT_FOUND, Kind.STARTING),
    ),
    Operation(
        "putItem",
        "PUT",
        "/v1/items/{id}",
        "Publish an item, or replace it; answered once Kafka has it.",
        Changed,
        202,
        path=ItemPath,
        body=ItemBody,
        most=MAX_ITEM_BYTES,
        problems=(Kind.BROKERS,),
    ),
    Operation(
        "deleteItem",
        "DELETE",
        "/v1/items/{id}",
        "Withdraw an item; answered once Kafka has it.",
        Changed,
        202,
        path=ItemPath,
        problems=(Kind.BROKERS,),
    ),
    Operation(
        "search",
        "GET",
        "/v1/search",
        "The items that match some words, by pages.",
        SearchResults,
        query=SearchQuery,
        problems=OF_USERS,
    ),
    Operation(
        "steer",
        "POST",
        "/v1/steer",
        "Say what a user wants, in a sentence, or undo that; answered once Kafka has it.",
        Steered,
        202,
        body=SteerRequest,
        problems=(Kind.BROKERS,),
    ),
    Operation(
        "explain",
        "GET",
        "/v1/explanations/{list}/{item}",
        "Why an entry is on the last published list of a user, in the first known language of Accept-Language.",
        Explanation,
        path=ExplanationPath,
        query=ExplanationQuery,
        problems=(Kind.NOT_FOUND, Kind.CHANGED, *OF_USERS),
    ),
    Operation(
        "getContext",
        "GET",
        "/v1/users/{user}/context",
        "What lists for a user are made from.",
        UserContext,
        path=UserPath,
        problems=(Kind.NOT_FOUND, *OF_USERS),
    ),
    Operation(
        "exportUser",
        "GET",
        "/v1/users/{user}/export",
        "Everything that workers store of a user.",
        UserExport,
        path=UserPath,
        problems=(Kind.NOT_FOUND, *OF_USERS),
    ),
    Operation(
        "streamLists",
        "GET",
        "/v1/users/{user}/stream",
        "A user's lists as they are published, the last one first: server-sent events named `list`.",
        RecommendedList,
        path=UserPath,
        problems=(Kind.BUSY, *OF_USERS),
        media="text/event-stream",
    ),
    Operation(
        "eraseUser",
        "DELETE",
        "/v1/users/{user}",
        "Order the erasure of a user; answered once Kafka has the order.",
        Ordered,
        202,
        path=UserPath,
        problems=(Kind.BROKERS,),
    ),
    Operation("getOpenApi", "GET", "/v1/openapi.json", "This description of the API.", None),
)

_LIMITS = {each.route: each.most for each in OPERATIONS if each.body is not None}
_LIMITS_UNDER = {route.partition("{")[0]: most for route, most in _LIMITS.items() if "{" in route}


def max_body(path: str) -> int:
    """The largest body of a path, in bytes."""
    within = (most for prefix, most in _LIMITS_UNDER.items() if path.startswith(prefix))
    return _LIMITS[path] if path in _LIMITS else next(within, MAX_BODY_BYTES)
