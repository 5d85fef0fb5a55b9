"""A `Scorer` that calls a Triton server over one long-lived gRPC channel."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from inference import wire
from inference.scorers.breaker import Breaker
from inference.scorers.rest import Rest
from schemas.scoring import (
    Candidate,
    CircuitOpen,
    DeadlineExceeded,
    Interpretation,
    InvalidAnswer,
    ItemVectors,
    Overloaded,
    ScoreRequest,
    Scores,
    ScoringError,
    Unavailable,
)

MODEL = "scorer"
_UNKNOWN = "Request for unknown model"
"""In the message for a version that is not loaded (NOT_FOUND), or being or been unloaded (UNAVAILABLE)."""

log = logging.getLogger(__name__)

_OPTIONS = [
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    # Reconnect within a second after an outage; the default backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
"""These replace all of the client's default channel arguments, so the message sizes must be included."""


@dataclass(frozen=True)
class Tls:
    """PEM data for TLS. `ca` holds the trusted authorities (empty: gRPC's default list); `cert` and `key` are the
    client certificate for servers that ask for one."""

    ca: str = ""
    cert: str = ""
    key: str = ""


def connect(address: str, tls: Tls | None) -> InferenceServerClient:
    """A client with one channel, for the running event loop. Raises `Unavailable` for an unreadable certificate."""
    given = tls or Tls()
    try:
        return InferenceServerClient(
            address,
            ssl=tls is not None,
            root_certificates=given.ca or None,
            private_key=given.key or None,
            certificate_chain=given.cert or None,
            channel_args=_OPTIONS,
        )
    except OSError as error:
        raise Unavailable(f"a certificate for Triton cannot be read ({error}); correct its setting") from None


class _NotLoaded(Unavailable):
    """The version that a request named is not loaded."""


class TritonScorer:
    """Calls the model named `model` at `address` (host:port of gRPC), encrypted with `tls`.

    At most `max_in_flight` requests are in flight; further ones raise `Overloaded` without being sent. After
    consecutive failures of requests that name one version, or of those that name none, they raise `CircuitOpen` until a
    trial succeeds (`inference.scorers.breaker`); requests to other versions are sent meanwhile. Each request carries
    its remaining time, so that the server drops expired requests.

    One `interpret`, one `without` and one `describe` may be in flight besides. The breakers ignore them: they may take
    longer than any list would wait. After a describe that the server had no room for, the next waits before it is sent
    (`inference.scorers.rest`).

    `forget` asks every version that the server has loaded, and every one that answered a request that named it.

    A request whose version is not loaded, or being unloaded, is sent once more without a version, which the newest one
    answers, within the same timeout. `unnamed_instead` counts them.
    """

    keeps_here = False

    def __init__(
        self,
        address: str,
        *,
        model: str = MODEL,
        max_in_flight: int = 32,
        tls: Tls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._address = address
        self._model = model
        self._max_in_flight = max_in_flight
        self._tls = tls
        self._breakers: dict[int | None, Breaker] = {}
        """Of versions whose last request failed, by the number that was named."""
        self._clock = clock
        self._in_flight = 0
        self._describing = self._interpreting = self._leaving_out = False
        self._rest = Rest()
        self._client: InferenceServerClient | None = None
        self._closed = False
        self.unnamed_instead = 0
        self._named: set[int] = set()
        """Versions that requests named and the server had: they may cache sessions."""
        self._missed: set[int] = set()
        """Versions that requests named and the server did not have, for the log."""

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")
        if self._in_flight >= self._max_in_flight:
            raise Overloaded(f"{self._in_flight} requests are in flight; raise max_in_flight or add servers")
        breaker = self._breakers.get(number)
        if breaker is not None and not breaker.allow(self._clock()):
            named = "" if number is None else f"version {number} at "
            raise CircuitOpen(f"recent requests to {named}{self._address} failed; check the Triton server")
        self._in_flight += 1
        try:
            answered, version = await self._ask_version(request, timeout, number)
            scores = wire.answer(answered, len(request.candidates), version)
        except InvalidAnswer:
            # The server answers, so the fault is in the request or the model: opening the circuit would not help.
            self._breakers.pop(number, None)
            raise
        except ScoringError:
            self._breakers.setdefault(number, Breaker()).failed(self._clock())
            raise
        finally:
            self._in_flight -= 1
        self._breakers.pop(number, None)
        return scores

    async def describe(self, items: Sequence[Candidate], *, timeout: float, number: int | None = None) -> ItemVectors:
        wire.check_count(items)
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")
        if self._describing:
            raise Overloaded("a describe request is in flight; retry when it is answered")
        self._describing = True
        rest = self._rest.left(self._clock())
        try:
            await asyncio.sleep(min(rest, timeout))
            if rest >= timeout:
                raise Overloaded(f"{self._address} was overloaded a moment ago; retry later, or add servers")
            asked = wire.DescribeRequest(tuple(items))
            answered, version = await self._ask_version(asked, timeout - rest, number)
            self._rest.answered()
        except Overloaded:
            self._rest.refused(self._clock())
            raise
        finally:
            self._describing = False
        values = np.array(answered.vector, "<f4")
        width = len(values) // len(items) if items else 0
        return wire.described(ItemVectors(width=width, values=values.tobytes(), model_version=version), len(items))

    async def interpret(self, sentence: str, names: Sequence[str], *, timeout: float) -> Interpretation:
        wire.check_names(names)
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")
        if self._interpreting:
            raise Overloaded("an interpret request is in flight; retry when it is answered")
        self._interpreting = True
        try:
            answered, version = await self._ask(wire.InterpretRequest(sentence, tuple(names)), timeout)
        finally:
            self._interpreting = False
        return wire.interpreted(answered.scores, len(names), version)

    async def without(
        self, request: ScoreRequest, left_out: Sequence[int], *, timeout: float, number: int | None = None
    ) -> tuple[Scores, ...]:
        wire.check_places(request, left_out)
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")
        if self._leaving_out:
            raise Overloaded("a without request is in flight; retry when it is answered")
        self._leaving_out = True
        asked = wire.WithoutRequest(request, tuple(left_out))
        try:
            answered, version = await self._ask_version(asked, timeout, number)
        finally:
            self._leaving_out = False
        return wire.answers(answered, asked, version)

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")
        asked = wire.ForgetRequest(None if sessions is None else tuple(sessions))
        deadline = self._clock() + timeout
        numbers = self._named | await self._loaded(timeout)
        left = self._left(deadline)
        # All at once, so that a version that hangs does not keep the others from forgetting.
        done = await asyncio.gather(*(self._forget(asked, left, each) for each in numbers), return_exceptions=True)
        for failed in filter(None, done):
            raise failed

    async def _forget(self, asked: wire.ForgetRequest, timeout: float, number: int) -> None:
        try:
            await self._ask(asked, timeout, number)
        except _NotLoaded:
            self._named.discard(number)

    async def _loaded(self, timeout: float) -> set[int]:
        """The versions that are loaded: at least one. Raises `Unavailable`, among others."""
        try:
            known = await self._connection().get_model_metadata(self._model, client_timeout=timeout)
        except InferenceServerException as error:
            raise _translate(error, self._address) from None
        except asyncio.CancelledError as error:
            raise _ended_by(error) from None
        return {int(each) for each in known.versions}

    async def ready(self, number: int | None = None) -> bool:
        if self._closed:
            return False
        try:
            named = "" if number is None else str(number)
            return bool(await self._connection().is_model_ready(self._model, named, client_timeout=1.0))
        except (InferenceServerException, OSError, Unavailable):
            return False
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return False

    async def close(self) -> None:
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connection(self) -> InferenceServerClient:
        # Created on first use: a grpc.aio channel belongs to the event loop that it is created in.
        if self._client is None:
            self._client = connect(self._address, self._tls)
        return self._client

    async def _ask_version(
        self, request: wire.Question, timeout: float, number: int | None
    ) -> tuple[wire.Answered, str]:
        """Ask version `number`, or if it is not loaded, the newest one."""
        if number is None:
            return await self._ask(request, timeout)
        deadline = self._clock() + timeout
        try:
            answer = await self._ask(request, timeout, number)
        except _NotLoaded as error:
            self.unnamed_instead += 1
            self._named.discard(number)
            if number not in self._missed:
                self._missed.add(number)
                log.warning("Version %d is not loaded, the newest one answers instead: %s", number, error)
            return await self._ask(request, self._left(deadline))
        self._named.add(number)
        self._missed.discard(number)
        return answer

    def _left(self, deadline: float) -> float:
        """Seconds until the deadline. Raises `DeadlineExceeded`."""
        left = deadline - self._clock()
        if left <= 0:
            raise DeadlineExceeded("no time was left to call the model; send fewer candidates, or add servers")
        return left

    async def _ask(
        self, request: wire.Question, timeout: float, number: int | None = None
    ) -> tuple[wire.Answered, str]:
        """Ask version `number`, or the newest one. Raises `_NotLoaded` if it is named and not loaded."""
        payload = np.frombuffer(wire.encode(request), np.uint8)[None]
        tensor = InferInput(wire.REQUEST, list(payload.shape), "UINT8")
        tensor.set_data_from_numpy(payload)
        outputs = [InferRequestedOutput(name) for name in (wire.SCORES, wire.VECTOR, wire.VERSION)]
        try:
            result = await self._connection().infer(
                self._model,
                [tensor],
                "" if number is None else str(number),
                outputs=outputs,
                client_timeout=timeout,
                timeout=int(timeout * 1e6),
            )
        except InferenceServerException as error:
            if number is not None and _UNKNOWN in str(error.message() or ""):
                raise _NotLoaded(f"{self._address}: {error.message()}") from None
            raise _translate(error, self._address) from None
        except asyncio.CancelledError as error:
            raise _ended_by(error) from None
        scores, vector, version = (result.as_numpy(name) for name in (wire.SCORES, wire.VECTOR, wire.VERSION))
        if scores is None or vector is None or version is None or version.dtype != np.uint8:
            raise InvalidAnswer(
                "the answer has no scores, vector or version; use the same version of Ouzel in client and server"
            )
        answered = wire.Answered(tuple(scores.reshape(-1).tolist()), tuple(vector.reshape(-1).tolist()))
        return answered, version.tobytes().decode(errors="replace")


def _ended_by(cancelled: asyncio.CancelledError) -> BaseException:
    """What a request raises that was cancelled: closing the channel cancels those in flight, not their caller."""
    if _is_cancelled():
        return cancelled
    return Unavailable("this scorer was closed during the request; create a new one")


def _is_cancelled() -> bool:
    """Whether the current task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _translate(error: InferenceServerException, address: str) -> ScoringError:
    """The port's exception for a gRPC status."""
    status, message = str(error.status() or ""), str(error.message() or "")
    if status.endswith("DEADLINE_EXCEEDED"):
        return DeadlineExceeded("the model did not answer in time; send fewer candidates, or add servers")
    if status.endswith("INVALID_ARGUMENT"):
        return InvalidAnswer(f"the server refused the request: {message}")
    if status.endswith("RESOURCE_EXHAUSTED") or wire.OVERLOADED in message:
        return Overloaded(f"{address} is overloaded: {message}; add servers")
    return Unavailable(f"{address} gave no answer ({status}: {message}); check the Triton server")
