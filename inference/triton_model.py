"""The Python model that Triton runs. Thin: bytes in, an engine, tensors out. Imported inside Triton's stub only.

Lists are answered in `execute`. Items are described a few at a time by a thread beside it, between lists, since nobody
waits for them: their answers are sent when they are ready, which may be long after `execute` has returned.
"""

import json
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference import tensors, wire
from inference.errors import RequestRefused
from inference.loading import load_engine
from inference.repository import SETTINGS, WEIGHTS
from inference.settings import ModelSettings
from inference.turns import Turns
from schemas.scoring import Candidate, ItemVectors, ScoreRequest

_DESCRIBED = 4
"""Items that are described in one turn: a list waits for so many at most."""

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """The interface that the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        tensors.check()
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        self._settings = ModelSettings.read(folder / SETTINGS)
        self._engine = load_engine(folder / WEIGHTS, self._settings)
        self._engine.warm_up()
        self._turns = Turns()
        self._asked: queue.SimpleQueue[tuple[Any, wire.DescribeRequest] | None] = queue.SimpleQueue()
        self._describing = threading.Thread(target=self._describe, name="describing", daemon=True)
        self._describing.start()
        pb_utils.Logger.log_info(f"{config['name']} serves {self._engine.version}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order, or None for one that is sent later. Errors are responses too: a raise here
        would leak shared memory."""
        responses: list[Any] = [None] * len(requests)
        decoded: list[ScoreRequest] = []
        places: list[int] = []
        forgotten: list[tuple[int, wire.ForgetRequest]] = []
        for place, request in enumerate(requests):
            try:
                asked = wire.decode(tensors.payload(request))
                if isinstance(asked, wire.ForgetRequest):
                    forgotten.append((place, asked))
                elif isinstance(asked, wire.DescribeRequest):
                    self._asked.put((request.get_response_sender(), asked))
                else:
                    decoded.append(asked)
                    places.append(place)
            except Exception as error:
                responses[place] = _refusal(error)
        self._score(requests, decoded, places, responses)
        # After the lists of the same batch, which may have read those people.
        for place, asked in forgotten:
            with self._turns.first():
                self._engine.forget(asked.sessions)
            responses[place] = tensors.response(np.zeros(0, np.float32), np.zeros(0, np.float32), self._engine.version)
        return responses

    def finalize(self) -> None:
        self._asked.put(None)
        self._describing.join()
        self._engine.clear()

    def _score(self, requests: list[Any], decoded: list[ScoreRequest], places: list[int], responses: list[Any]) -> None:
        """Put the answers to the decoded requests in their places."""
        if not decoded:
            return
        try:
            with self._turns.first():
                results = self._engine.score(decoded, skip=lambda i: requests[places[i]].is_cancelled())
        except Exception as error:
            results = []
            for place in places:
                responses[place] = _failure(error)
        for place, result in zip(places, results, strict=False):
            if result is None:
                responses[place] = _cancelled()
            elif isinstance(result, RequestRefused):
                responses[place] = _refusal(result)
            else:
                responses[place] = tensors.response(
                    np.array(result.scores, np.float32), np.array(result.vector, np.float32), self._engine.version
                )

    def _describe(self) -> None:
        """Answer what is in the queue until the model is unloaded."""
        # Each thread has a number of its own, which is that of the cores at first.
        import torch  # noqa: PLC0415

        torch.set_num_threads(self._settings.threads)
        while (asked := self._asked.get()) is not None:
            sender, request = asked
            response = _cancelled() if sender.is_cancelled() else self._described(request.items)
            try:
                sender.send(response, flags=_FINAL)
            except Exception as error:  # the thread goes on: the next one may be answered
                pb_utils.Logger.log_error(f"an answer could not be sent: {error}")

    def _described(self, items: Sequence[Candidate]) -> Any:
        parts: list[ItemVectors] = []
        try:
            for begin in range(0, max(len(items), 1), _DESCRIBED):
                with self._turns.second():
                    parts.append(self._engine.describe(items[begin : begin + _DESCRIBED]))
        except RequestRefused as refused:
            return _refusal(refused)
        except Exception as error:
            return _failure(error)
        values = np.frombuffer(b"".join(part.values for part in parts), "<f4").astype(np.float32)
        return tensors.response(np.zeros(len(items), np.float32), values, parts[0].model_version)


def _cancelled() -> Any:
    error = pb_utils.TritonError("nobody waits for this any more", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))


def _failure(error: Exception) -> Any:
    message = f"the model failed: {type(error).__name__}: {error}"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
