"""Ask a worker's HTTP API for a list: every failure becomes a one-line `DeployError`."""

import http.client
import socket
import ssl
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from deploy.errors import DeployError
from schemas.http.lists import RecommendedList
from schemas.http.problems import Problem
from schemas.shown import shown_in_line
from streams.secret import NO_SECRET, Secret

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Four times the largest list."""

_START = "Start one with the API on (OUZEL_WEB_API=on ouzel worker), or name its address with --url."


class Answer(NamedTuple):
    """A list, and the JSON that it was sent as."""

    list: RecommendedList
    json: bytes


class Place(NamedTuple):
    """Where a worker is asked; `path` is what comes before `/v1`, without a slash at its end."""

    is_encrypted: bool
    host: str
    port: int
    path: str


def recommendations(
    url: str,
    user: str,
    *,
    scene: str | None = None,
    count: int | None = None,
    token: Secret = NO_SECRET,
    timeout: float = TIMEOUT_SECONDS,
) -> Answer:
    """The user's list from the worker at `url`: the last one, or one made now (`GET /v1/recommendations/{user}`).

    Redirects are not followed and no proxy is asked, so that the token reaches only the host of `url`. `timeout` bounds
    each wait for the worker, in seconds. Raises `DeployError`.
    """
    place = place_of(url)
    query = urlencode({name: value for name, value in (("scene", scene), ("count", count)) if value is not None})
    path = f"{place.path}/v1/recommendations/{quote(user, safe='')}" + (f"?{query}" if query else "")
    status, content_type, body = _get(url, place, path, token, timeout)
    if status == http.client.OK:
        try:
            return Answer(msgspec.json.decode(body, type=RecommendedList), body)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            raise DeployError(
                f"{url} does not answer with a list: check that it is the address of a worker of this version (--url)."
            ) from None
    raise DeployError(_refusal(url, status, content_type, body, has_token=bool(token)))


def place_of(url: str) -> Place:
    """The parts of a worker's address. Raises `DeployError` if it is none."""
    wrong = DeployError(f"--url takes the address of a worker, like http://127.0.0.1:6066, not {shown_in_line(url)!r}.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if parts.username is not None or parts.password is not None:
        raise DeployError("--url takes no user or password: give the token in OUZEL_WEB_TOKEN.")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise wrong
    is_encrypted = parts.scheme == "https"
    return Place(is_encrypted, host, port or (443 if is_encrypted else 80), parts.path.rstrip("/"))


def _get(url: str, place: Place, path: str, token: Secret, timeout: float) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer."""
    make = http.client.HTTPSConnection if place.is_encrypted else http.client.HTTPConnection
    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    try:
        connection = make(place.host, place.port, timeout=timeout)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER_BYTES + 1)
        finally:
            connection.close()
    except TimeoutError:
        raise DeployError(
            f"{url} did not answer within {timeout:g} s: check that the worker is ready (/readyz), or wait longer "
            "(--timeout)."
        ) from None
    except ssl.SSLError as error:
        raise DeployError(f"TLS with {url} failed ({error.reason or error}): check --url.") from None
    except (OSError, UnicodeError) as error:
        raise DeployError(f"no worker answers at {url} ({_why(error)}). {_START}") from None
    except http.client.HTTPException:
        raise DeployError(f"what listens at {url} does not speak HTTP as a worker does: check --url.") from None
    if len(body) > MAX_ANSWER_BYTES:
        raise DeployError(f"{url} answers with more than any list has: check that it is a worker (--url).")
    return answer.status, answer.headers.get_content_type(), body


def _why(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return "unknown name"
    return (getattr(error, "strerror", None) or "the connection broke").lower()


def _refusal(url: str, status: int, content_type: str, body: bytes, *, has_token: bool) -> str:
    """What an answer that is no list says, with the next step."""
    if status == http.client.UNAUTHORIZED:
        given = "refuses the token in OUZEL_WEB_TOKEN" if has_token else "needs a token"
        return f"the worker at {url} {given}: set OUZEL_WEB_TOKEN to the one that the worker was started with."
    if status == http.client.NOT_FOUND:  # of a user who is not known there is a list
        return f"{url} answers, but serves no API. {_START}"
    try:
        problem = msgspec.json.decode(body, type=Problem) if content_type == "application/problem+json" else None
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        problem = None
    if problem is not None:
        return f"the worker at {url} gave no list: {shown_in_line(problem.detail)}"
    return f"{url} answered with status {status}, and not like a worker's API: check --url."
