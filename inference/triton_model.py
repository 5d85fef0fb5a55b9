"""The Python model that Triton runs. Thin: bytes in, `Engine`, scores out. Imported inside Triton's stub only."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference import wire
from inference.engine import Engine
from inference.errors import RequestRefused
from inference.repository import SETTINGS, WEIGHTS
from inference.settings import ModelSettings
from schemas.scoring import ScoreRequest


class TritonPythonModel:
    """The interface that the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        if int(np.__version__.split(".")[0]) >= 2:
            raise pb_utils.TritonModelException(
                f"numpy {np.__version__} corrupts tensors in this Python backend: serve with the environment that "
                "`ouzel triton build` makes (numpy 1.26.4), not with the worker's"
            )
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        self._engine = Engine.load(folder / WEIGHTS, ModelSettings.read(folder / SETTINGS))
        self._engine.warm_up()
        pb_utils.Logger.log_info(f"{config['name']} serves {self._engine.version}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order. Errors are responses too: a raise here would leak shared memory."""
        responses: list[Any] = [None] * len(requests)
        decoded: list[ScoreRequest] = []
        places: list[int] = []
        for place, request in enumerate(requests):
            try:
                tensor = pb_utils.get_input_tensor_by_name(request, wire.REQUEST)
                decoded.append(wire.decode(bytes(tensor.as_numpy().reshape(-1)[0])))
                places.append(place)
            except Exception as error:
                responses[place] = _refusal(error)
        try:
            results = self._engine.score(decoded, skip=lambda i: requests[places[i]].is_cancelled())
        except Exception as error:
            results = []
            for place in places:
                responses[place] = _failure(f"the model failed: {type(error).__name__}: {error}")
        for place, result in zip(places, results, strict=False):
            if result is None:
                responses[place] = pb_utils.InferenceResponse(
                    error=pb_utils.TritonError("nobody waits for this any more", pb_utils.TritonError.CANCELLED)
                )
            elif isinstance(result, RequestRefused):
                responses[place] = _refusal(result)
            else:
                responses[place] = pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor(wire.SCORES, np.array([result], dtype=np.float32)),
                        pb_utils.Tensor(wire.VERSION, np.array([[self._engine.version.encode()]], dtype=np.object_)),
                    ]
                )
        return responses

    def finalize(self) -> None:
        self._engine.clear()


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))


def _failure(message: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
