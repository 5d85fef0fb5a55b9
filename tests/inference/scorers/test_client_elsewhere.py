"""The client works with a Triton server that implements only the calls that it needs."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from inference import wire
from inference.scorers.triton import TritonScorer
from schemas.scoring import Candidate, Past, ScoreRequest

ASKED = ScoreRequest(
    session=1, scene="default", history=(Past("Heat", "like", feeling=1),), candidates=(Candidate("a"),)
)


class Restricted(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Implements two methods; all others stay unimplemented, as in the generated class."""

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


async def test_client_calls_only_inference_and_readiness(elsewhere: tuple[str, Methods]) -> None:
    address, methods = elsewhere
    scorer = TritonScorer(address)
    assert await scorer.ready()
    assert (await scorer.score(ASKED, timeout=30)).model_version == "one"
    assert (await scorer.describe(ASKED.candidates, timeout=30)).width == 4
    await scorer.forget([1], timeout=30)
    await scorer.close()
    assert methods.called == {"ModelReady", "ModelInfer"}


class OfVersions(Restricted):
    """A server with version 1, which says of others what tritonserver 2.51 says."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status, self.message = grpc.StatusCode.UNAVAILABLE, "is not at ready state"

    async def ModelReady(self, request: Any, _: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=request.version in {"", "1"})

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request.model_version)
        if request.model_version not in {"", "1"}:
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
        assert (await scorer.score(ASKED, timeout=30, number=2)).model_version == "one"
    assert (await scorer.describe(ASKED.candidates, timeout=30, number=2)).model_version == "one"
    assert serves.asked == ["2", ""] * 21
    assert scorer.unnamed_instead == 21
    assert (await scorer.score(ASKED, timeout=30, number=1)).model_version == "one"
    assert scorer.unnamed_instead == 21
    assert [await scorer.ready(number) for number in (None, 1, 2)] == [True, True, False]


async def test_sessions_are_forgotten_by_versions_that_answered(
    of_versions: tuple[TritonScorer, OfVersions],
) -> None:
    scorer, serves = of_versions
    for number in (1, 2):
        await scorer.score(ASKED, timeout=30, number=number)
    serves.asked.clear()
    await scorer.forget([1], timeout=30)
    assert serves.asked == ["1", ""]
