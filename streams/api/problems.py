"""Refusals of the API, in the form of RFC 9457. Texts never quote a request but for names of fields, in short."""

from enum import Enum
from http import HTTPStatus

import msgspec
from aiohttp import web

from schemas.http import problems
from schemas.http.problems import WrongEvent
from schemas.shown import shown_in_line
from streams.api.answers import as_bytes
from streams.web.guard import Refusal

MAX_DETAIL = 500
TYPE = "urn:problem-type:ouzel:"
RETRY_SECONDS = "2"


class Kind(Enum):
    """A kind of problem: its status, its name, and its title."""

    TOKEN = 401, "token-needed", "A bearer token is needed"
    ORIGIN = 403, "origin-refused", "This origin may not ask"
    NOT_FOUND = 404, "not-found", "There is no such thing"
    METHOD = 405, "method-not-allowed", "This path does not take this method"
    SLOW = 408, "body-too-slow", "The body did not arrive in time"
    CHANGED = 409, "changed", "What it is about has changed"
    TOO_LARGE = 413, "body-too-large", "The body is too large"
    TYPE = 415, "json-needed", "The body must be JSON"
    HOST = 421, "host-refused", "This host name is not answered"
    INVALID = 422, "invalid", "The request cannot be used"
    RATE = 429, "too-many-requests", "Too many requests"
    FAILED = 500, "failed", "The worker failed"
    BUSY = 503, "busy", "The worker is busy"
    STARTING = 503, "starting", "The worker is not ready"
    BROKERS = 503, "not-sent", "Kafka did not take it"
    OWNER = 503, "owner-unreached", "The worker of this user cannot be reached"

    @property
    def status(self) -> int:
        return int(self.value[0])

    @property
    def type(self) -> str:
        return TYPE + self.value[1]

    @property
    def title(self) -> str:
        return self.value[2]


class Problem(Exception):
    """A request that is refused; `detail` says what to do next. `why` is one of `streams.metrics.REFUSALS` if it is
    counted as a refusal."""

    def __init__(self, kind: Kind, detail: str, *, wrong: tuple[WrongEvent, ...] = (), why: str | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = shown_in_line(detail)[:MAX_DETAIL]
        self.wrong = wrong
        self.why = why


def said(problem: Problem, headers: dict[str, str] | None = None) -> web.Response:
    kind = problem.kind
    view = problems.Problem(
        type=kind.type, title=kind.title, status=kind.status, detail=problem.detail, wrong=problem.wrong
    )
    more = {"Retry-After": RETRY_SECONDS} if kind.status in (429, 503) else {}
    return web.Response(
        body=as_bytes(view),
        status=kind.status,
        content_type="application/problem+json",
        headers={**more, **(headers or {})},
    )


_BY_STATUS = {kind.status: kind for kind in reversed(Kind)}
_DETAILS = {
    401: "Send the worker's token: Authorization: Bearer TOKEN.",
    404: "Look at /v1/openapi.json for the paths that there are.",
    405: "Use a method that the header Allow names.",
    408: "Send the body at once.",
    413: "Send less in one request: /v1/openapi.json says how much a path takes.",
    429: "Many requests from this address were refused. Correct them, and try again in a second.",
    500: "The worker's log names the error. Try again; if it stays, report it with that line.",
}


def of_refusal(refusal: Refusal) -> web.Response:
    """What the guard refuses, and what aiohttp does, as a problem."""
    kind = _BY_STATUS.get(refusal.status)
    if kind is None:
        detail = f"{HTTPStatus(refusal.status).phrase}: look at /v1/openapi.json for what this path takes."
        view = problems.Problem(
            type="about:blank", title=HTTPStatus(refusal.status).phrase, status=refusal.status, detail=detail
        )
        return web.Response(
            body=msgspec.json.encode(view), status=refusal.status, content_type="application/problem+json"
        )
    return said(Problem(kind, _DETAILS.get(refusal.status, refusal.text.strip())), refusal.headers)
