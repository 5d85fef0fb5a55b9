"""The Python model that Triton runs: bytes in, an engine, tensors out. Imported inside Triton's stub only.

`execute` answers score requests. All others but those to forget are answered by a background thread, which yields to
score requests; their answers may be sent long after `execute` has returned.
"""

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils

from inference import wire
from inference.backlog import Backlog
from inference.engines import load_engine
from inference.errors import RequestRefused, TooManyWait
from inference.full_text.engine import Engine
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import SETTINGS, WEIGHTS, ModelSettings
from inference.shared import SharedEngine, Stopped
from inference.triton import region, tensors
from inference.triton.loading import at_low_priority
from inference.triton.metrics import FormatMetrics, ReadMetrics, RefusedMetrics, RestartMetric, ShippedMetric
from schemas.scoring import ScoreRequest

Beside = wire.DescribeRequest | wire.InterpretRequest | wire.WithoutRequest
"""Requests that are answered beside lists."""

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """The interface that the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        region.protect()
        tensors.check()
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        self._settings = ModelSettings.read(folder / SETTINGS)
        engine = at_low_priority(lambda: _load(folder, self._settings))
        torch.set_num_threads(engine.chosen.settings.threads)  # per thread in torch, and another thread loaded it
        self._engine = SharedEngine(engine)
        self._metrics = ReadMetrics(config["name"], args["model_version"])
        self._format = FormatMetrics(config["name"], args["model_version"], engine.chosen)
        self._restarts = RestartMetric(config["name"], args["model_version"])
        self._refused = RefusedMetrics(config["name"], args["model_version"])
        self._backlog: Backlog[tuple[Any, Beside]] = Backlog(
            self._settings.max_describes, self._settings.describe_queue_bytes
        )
        """Work of the describing thread: response senders and requests."""
        self._describing = threading.Thread(target=self._describe, name="describing", daemon=True)
        self._describing.start()
        self._shipped = ShippedMetric(config["name"], args["model_version"], engine)
        pb_utils.Logger.log_info(f"{config['name']} serves {self._engine.version} in {engine.chosen}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response per request, in order; None for one that is sent later. Errors are responses too: an exception
        here would leak shared memory."""
        responses: list[Any] = [None] * len(requests)
        decoded: list[ScoreRequest] = []
        places: list[int] = []
        forgotten: list[tuple[int, wire.ForgetRequest]] = []
        refused = 0
        for place, request in enumerate(requests):
            try:
                payload = tensors.payload(request)
                if payload.startswith(wire.DESCRIBE):
                    self._backlog.check(len(payload))  # before decoding it: a flood would delay score requests
                asked = wire.decode(payload)
                if isinstance(asked, wire.ForgetRequest):
                    forgotten.append((place, asked))
                elif isinstance(asked, Beside):
                    self._backlog.check(len(payload))  # again: other encodings skip the check above
                    first = not isinstance(asked, wire.DescribeRequest)  # a user waits for it
                    self._backlog.put((request.get_response_sender(), asked), len(payload), first=first)
                else:
                    decoded.append(asked)
                    places.append(place)
            except TooManyWait as error:
                refused += 1
                responses[place] = _overloaded(error)
            except Exception as error:
                responses[place] = _refusal(error)
        self._refused.count(refused)
        self._score(requests, decoded, places, responses)
        if self._engine.behind:
            self._backlog.tend()
        # After the score requests of the same batch, which may have read those users.
        for place, asked in forgotten:
            self._engine.forget(asked.sessions)
            responses[place] = tensors.response(np.zeros(0, np.float32), np.zeros(0, np.float32), self._engine.version)
        return responses

    def finalize(self) -> None:
        self._backlog.close()
        self._engine.stop()
        self._describing.join()
        self._engine.clear()

    def _score(self, requests: list[Any], decoded: list[ScoreRequest], places: list[int], responses: list[Any]) -> None:
        """Store the answers to the decoded requests at their places in `responses`."""
        if not decoded:
            return
        try:
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
        """Answer queued requests until the model is unloaded."""
        for asked in self._backlog:
            try:
                if asked is not None:
                    sender, request = asked
                    response = _cancelled() if sender.is_cancelled() else self._answered(request)
                    sender.send(response, flags=_FINAL)
                self._engine.tend()
                self._metrics.report(self._engine.counts)
            except Stopped:
                pass
            except Exception as error:  # continue: the next request may succeed
                pb_utils.Logger.log_error(f"an answer could not be sent, or an item could not be read: {error}")

    def _answered(self, request: Beside) -> Any:
        try:
            if isinstance(request, wire.WithoutRequest):
                answered = self._engine.without(request.request, request.left_out)
                return tensors.response(
                    np.array([score for each in answered for score in each.scores], np.float32),
                    np.array([value for each in answered for value in each.vector], np.float32),
                    self._engine.version,
                )
            if isinstance(request, wire.InterpretRequest):
                meant = self._engine.interpret(request.sentence, request.names)
                strengths = np.array(meant.strengths, np.float32)
                return tensors.response(strengths, np.zeros(0, np.float32), meant.model_version)
            found = self._engine.describe(request.items)
        except RequestRefused as refused:
            return _refusal(refused)
        except Stopped:
            return _cancelled()
        except Exception as error:
            return _failure(error)
        values = np.frombuffer(found.values, "<f4").astype(np.float32)
        return tensors.response(np.zeros(len(request.items), np.float32), values, found.model_version)


def _load(folder: Path, settings: ModelSettings) -> Engine | ItemTokenEngine:
    engine = load_engine(folder / WEIGHTS, settings)
    engine.warm_up()
    return engine


def _cancelled() -> Any:
    error = pb_utils.TritonError("the client cancelled the request", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)


def _refusal(error: Exception) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))


def _overloaded(error: Exception) -> Any:
    message = wire.OVERLOADED + str(error)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.UNAVAILABLE))


def _failure(error: Exception) -> Any:
    message = f"the model failed: {type(error).__name__}: {error}"
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL))
