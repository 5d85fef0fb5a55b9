"""Every operation of the API, in one table: what it takes and answers. Handlers and `openapi.json` follow from it."""

from typing import Any, NamedTuple

import msgspec

from schemas.http.events import MAX_EVENTS_BYTES, NewEvents, Sent
from schemas.http.lists import MAX_RECOMMEND_BYTES, ListQuery, RecommendedList, RecommendRequest
from schemas.http.users import UserPath
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
        "Make a list for a user, or for a context in the request. Nothing is stored.",
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
    Operation("getOpenApi", "GET", "/v1/openapi.json", "This description of the API.", None),
)

_LIMITS = {each.route: each.most for each in OPERATIONS if each.body is not None}
_LIMITS_UNDER = {route.partition("{")[0]: most for route, most in _LIMITS.items() if "{" in route}


def max_body(path: str) -> int:
    """The largest body of a path, in bytes."""
    within = (most for prefix, most in _LIMITS_UNDER.items() if path.startswith(prefix))
    return _LIMITS[path] if path in _LIMITS else next(within, MAX_BODY_BYTES)
