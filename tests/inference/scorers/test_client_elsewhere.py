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
