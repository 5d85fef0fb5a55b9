"""The client works with a Triton server that implements only the calls that it needs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inference import wire
from inference.scorers.triton import TritonScorer
from schemas.scoring import Candidate, CircuitOpen, DeadlineExceeded, Past, ScoreRequest, Unavailable
from tests.support.patience import PATIENCE

ASKED = ScoreRequest(
    session=1, scene="default", history=(Past("Heat", "like", feeling=1),), candidates=(Candidate("a"),)
)


class Restricted(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Implements three methods; all others stay unimplemented, as in the generated class."""

    loaded: tuple[int, ...] = (1,)

    async def ModelMetadata(self, request: Any, _: Any) -> Any:  # noqa: N802
        return service_pb2.ModelMetadataResponse(name=request.name, versions=[str(each) for each in self.loaded])

    async def ModelReady(self, request: Any, _: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=request.name == "scorer")

    async def ModelInfer(self, request: Any, _: Any) -> Any:  # noqa: N802
        count = 1 if wire.SCORES in {each.name for each in request.outputs} else 0
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, datatype, values in (
            (wire.SCORES, "FP32", np.zeros(count, np.float32)),
            (wire.VECTOR, "FP32", np.zeros(4, np.float32)),
            (wire.VERSION, "UINT8", np.frombuffer(b"one", np.uint8)),
        ):
            output = answer.outputs.add(name=name, datatype=datatype)
            output.shape.extend([1, len(values)])
            answer.raw_output_contents.append(values.tobytes())
        return answer


class Methods(grpc.aio.ServerInterceptor):
    """Records the methods called."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self.called.add(details.method.rpartition("/")[2])
        return await continuation(details)


@pytest.fixture
async def elsewhere() -> AsyncIterator[tuple[str, Methods]]:
    methods = Methods()
    running = grpc.aio.server(interceptors=[methods])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Restricted(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    yield f"127.0.0.1:{port}", methods
    await running.stop(None)


async def test_client_calls_only_inference_readiness_and_metadata(elsewhere: tuple[str, Methods]) -> None:
    address, methods = elsewhere
    scorer = TritonScorer(address)
    assert await scorer.ready()
    assert (await scorer.score(ASKED, timeout=PATIENCE)).model_version == "one"
    assert (await scorer.describe(ASKED.candidates, timeout=PATIENCE)).width == 4
    await scorer.forget([1], timeout=PATIENCE)
    await scorer.close()
    assert methods.called == {"ModelReady", "ModelInfer", "ModelMetadata"}


class OfVersions(Restricted):
    """A server that has loaded `loaded`, and says of other versions what tritonserver 2.51 says. Requests to `broken`
    fail, and those to `hanging` are not answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken, self.hanging = "", ""
        self.status, self.message = grpc.StatusCode.UNAVAILABLE, "is not at ready state"

    async def ModelReady(self, request: Any, _: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.has(request.version))

    def has(self, version: str) -> bool:
        return version in {"", *map(str, self.loaded)}

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request.model_version)
        if self.broken and request.model_version == self.broken:
            await context.abort(grpc.StatusCode.INTERNAL, "a bug in this version")
        if self.hanging and request.model_version == self.hanging:
            await asyncio.Event().wait()
        if not self.has(request.model_version):
            await context.abort(
                self.status, f"Request for unknown model: 'scorer' version {request.model_version} {self.message}"
            )
        return await super().ModelInfer(request, context)


@pytest.fixture
async def of_versions() -> AsyncIterator[tuple[TritonScorer, OfVersions]]:
    serves = OfVersions()
    running = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(serves, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    scorer = TritonScorer(f"127.0.0.1:{port}")
    yield scorer, serves
    await scorer.close()
    await running.stop(None)


@pytest.mark.parametrize(
    ("status", "message"),
    [(grpc.StatusCode.UNAVAILABLE, "is not at ready state"), (grpc.StatusCode.NOT_FOUND, "is not found")],
)
async def test_version_that_is_gone_is_asked_for_once_more_without_number(
    of_versions: tuple[TritonScorer, OfVersions], status: grpc.StatusCode, message: str
) -> None:
    scorer, serves = of_versions
    serves.status, serves.message = status, message
    for _ in range(20):  # more than open the circuit
        assert (await scorer.score(ASKED, timeout=PATIENCE, number=2)).model_version == "one"
    assert (await scorer.describe(ASKED.candidates, timeout=PATIENCE, number=2)).model_version == "one"
    assert serves.asked == ["2", ""] * 21
    assert scorer.unnamed_instead == 21
    assert (await scorer.score(ASKED, timeout=PATIENCE, number=1)).model_version == "one"
    assert scorer.unnamed_instead == 21
    assert [await scorer.ready(number) for number in (None, 1, 2)] == [True, True, False]


async def test_failing_version_opens_no_circuit_but_its_own(of_versions: tuple[TritonScorer, OfVersions]) -> None:
    scorer, serves = of_versions
    serves.loaded, serves.broken = (1, 2), "2"
    for _ in range(5):
        with pytest.raises(Unavailable, match="a bug in this version"):
            await scorer.score(ASKED, timeout=PATIENCE, number=2)
        await scorer.score(ASKED, timeout=PATIENCE, number=1)
    asked = len(serves.asked)
    with pytest.raises(CircuitOpen, match="version 2"):
        await scorer.score(ASKED, timeout=PATIENCE, number=2)
    assert len(serves.asked) == asked, "a request was sent although the circuit is open"
    for number in (1, None):
        assert (await scorer.score(ASKED, timeout=PATIENCE, number=number)).model_version == "one"


async def test_version_that_recovers_closes_its_circuit() -> None:
    serves, now = OfVersions(), [0.0]
    running = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(serves, running)
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    scorer = TritonScorer(f"127.0.0.1:{port}", clock=lambda: now[0])
    serves.loaded, serves.broken = (1, 2), "2"
    try:
        for _ in range(5):
            with pytest.raises(Unavailable):
                await scorer.score(ASKED, timeout=PATIENCE, number=2)
        serves.broken = ""
        with pytest.raises(CircuitOpen):
            await scorer.score(ASKED, timeout=PATIENCE, number=2)
        now[0] = 1.0
        for _ in range(2):
            await scorer.score(ASKED, timeout=PATIENCE, number=2)
    finally:
        await scorer.close()
        await running.stop(None)


async def test_sessions_are_forgotten_by_versions_that_are_loaded_and_by_those_that_answered(
    of_versions: tuple[TritonScorer, OfVersions],
) -> None:
    scorer, serves = of_versions
    serves.loaded = (1, 2)
    await scorer.score(ASKED, timeout=PATIENCE, number=2)
    serves.loaded = (1, 4)  # 2 is unloaded, and 4 was never named
    serves.asked.clear()
    await scorer.forget([1], timeout=PATIENCE)
    assert sorted(serves.asked) == ["1", "2", "4"]
    serves.asked.clear()
    await scorer.forget([1], timeout=PATIENCE)
    assert sorted(serves.asked) == ["1", "4"]


async def test_sessions_are_forgotten_by_every_version_that_answers_beside_one_that_fails(
    of_versions: tuple[TritonScorer, OfVersions],
) -> None:
    scorer, serves = of_versions
    serves.loaded, serves.broken = (1, 2, 3), "1"
    with pytest.raises(Unavailable, match="a bug in this version"):
        await scorer.forget([1], timeout=PATIENCE)
    assert sorted(serves.asked) == ["1", "2", "3"]
    serves.asked.clear()
    serves.broken, serves.hanging = "", "1"
    with pytest.raises(DeadlineExceeded):
        await scorer.forget([1], timeout=1)
    assert sorted(serves.asked) == ["1", "2", "3"]
