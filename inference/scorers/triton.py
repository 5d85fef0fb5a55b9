"""The `Scorer` that asks a Triton server, over one long-lived gRPC channel."""

import asyncio
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
    InvalidAnswer,
    ItemVectors,
    Overloaded,
    ScoreRequest,
    Scores,
    ScoringError,
    Unavailable,
)

MODEL = "scorer"
_OPTIONS = [
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    # A server that comes back is found again within a second; the default backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
"""These replace all of the client's own channel arguments, so the message sizes are among them."""


@dataclass(frozen=True)
class Tls:
    """Encryption to the server: files in PEM. `ca` are the authorities to trust (empty: gRPC's own list), `cert` and
    `key` what is shown to a server that asks for it."""

    ca: str = ""
    cert: str = ""
    key: str = ""


class TritonScorer:
    """Asks the model named `model` at `address` (host:port of gRPC), encrypted with `tls`.

    At most `max_in_flight` requests are out at once; the next is refused with `Overloaded` without being sent. After
    failures in a row (`breaker`), requests are refused with `CircuitOpen` until one gets through. The time left goes to
    the server with each request, which drops what nobody waits for any more.

    One `describe` may be out beside them. The breaker neither stops it nor hears of it: a describe may take longer than
    any list would wait. One that the server had no room for makes the next wait before it is sent
    (`inference.scorers.rest`).
    """

    keeps_here = False

    def __init__(
        self,
        address: str,
        *,
        model: str = MODEL,
        max_in_flight: int = 32,
        tls: Tls | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._address = address
        self._model = model
        self._max_in_flight = max_in_flight
        self._tls = tls
        self._breaker = breaker or Breaker()
        self._clock = clock
        self._in_flight = 0
        self._describing = False
        self._rest = Rest()
        self._client: InferenceServerClient | None = None
        self._closed = False

    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        if self._closed:
            raise Unavailable("this scorer is closed; make a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to ask the model")
        if self._in_flight >= self._max_in_flight:
            raise Overloaded(f"{self._in_flight} requests are out; raise max_in_flight or add servers")
        if not self._breaker.allow(self._clock()):
            raise CircuitOpen(f"recent requests to {self._address} failed; look at the Triton server")
        self._in_flight += 1
        try:
            answered, version = await self._ask(request, timeout)
            scores = wire.answer(answered, len(request.candidates), version)
        except InvalidAnswer:
            # The server is up and answers: what is wrong is the request or the model, and waiting does not help.
            self._breaker.succeeded()
            raise
        except ScoringError:
            self._breaker.failed(self._clock())
            raise
        finally:
            self._in_flight -= 1
        self._breaker.succeeded()
        return scores

    async def describe(self, items: Sequence[Candidate], *, timeout: float) -> ItemVectors:
        wire.check_count(items)
        if self._closed:
            raise Unavailable("this scorer is closed; make a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to ask the model")
        if self._describing:
            raise Overloaded("items are being described; ask again when that is answered")
        self._describing = True
        rest = self._rest.left(self._clock())
        try:
            await asyncio.sleep(min(rest, timeout))
            if rest >= timeout:
                raise Overloaded(f"{self._address} had no room a moment ago; ask later, or add servers")
            answered, version = await self._ask(wire.DescribeRequest(tuple(items)), timeout - rest)
            self._rest.answered()
        except Overloaded:
            self._rest.refused(self._clock())
            raise
        finally:
            self._describing = False
        values = np.array(answered.vector, "<f4")
        width = len(values) // len(items) if items else 0
        return wire.described(ItemVectors(width=width, values=values.tobytes(), model_version=version), len(items))

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        if self._closed:
            raise Unavailable("this scorer is closed; make a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to ask the model")
        await self._ask(wire.ForgetRequest(None if sessions is None else tuple(sessions)), timeout)

    async def ready(self) -> bool:
        if self._closed:
            return False
        try:
            return bool(await self._connection().is_model_ready(self._model, client_timeout=1.0))
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
        # Made on first use: a grpc.aio channel belongs to the event loop that it is made in.
        if self._client is None:
            tls = self._tls or Tls()
            try:
                self._client = InferenceServerClient(
                    self._address,
                    ssl=self._tls is not None,
                    root_certificates=tls.ca or None,
                    private_key=tls.key or None,
                    certificate_chain=tls.cert or None,
                    channel_args=_OPTIONS,
                )
            except OSError as error:
                raise Unavailable(f"a certificate for Triton cannot be read ({error}); correct its setting") from None
        return self._client

    async def _ask(self, request: wire.Question, timeout: float) -> tuple[wire.Answered, str]:
        payload = np.frombuffer(wire.encode(request), np.uint8)[None]
        tensor = InferInput(wire.REQUEST, list(payload.shape), "UINT8")
        tensor.set_data_from_numpy(payload)
        outputs = [InferRequestedOutput(name) for name in (wire.SCORES, wire.VECTOR, wire.VERSION)]
        try:
            result = await self._connection().infer(
                self._model, [tensor], outputs=outputs, client_timeout=timeout, timeout=int(timeout * 1e6)
            )
        except InferenceServerException as error:
            raise _translate(error, self._address) from None
        except asyncio.CancelledError:
            # gRPC cancels what is under way when the channel is closed; that is not a cancellation of our caller.
            if _is_cancelled():
                raise
            raise Unavailable("this scorer was closed while it waited; make a new one") from None
        scores, vector, version = (result.as_numpy(name) for name in (wire.SCORES, wire.VECTOR, wire.VERSION))
        if scores is None or vector is None or version is None or version.dtype != np.uint8:
            raise InvalidAnswer("the answer lacks scores, vector or version; server and client must be of one version")
        answered = wire.Answered(tuple(scores.reshape(-1).tolist()), tuple(vector.reshape(-1).tolist()))
        return answered, version.tobytes().decode(errors="replace")


def _is_cancelled() -> bool:
    """Whether somebody cancelled the running task itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _translate(error: InferenceServerException, address: str) -> ScoringError:
    """The port's exception for a gRPC status."""
    status, message = str(error.status() or ""), str(error.message() or "")
    if status.endswith("DEADLINE_EXCEEDED"):
        return DeadlineExceeded("the model did not answer in time; fewer candidates, or more servers, make it faster")
    if status.endswith("INVALID_ARGUMENT"):
        return InvalidAnswer(f"the server refused the request: {message}")
    if status.endswith("RESOURCE_EXHAUSTED") or wire.OVERLOADED in message:
        return Overloaded(f"{address} is overloaded: {message}; add servers")
    return Unavailable(f"{address} gave no answer ({status}: {message}); look at the Triton server")
