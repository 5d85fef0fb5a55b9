"""A model for a real tritonserver that answers correctly, slowly, with errors or with nonsense, as a file says.

It runs in Triton's Python stub. Scores follow the order of the candidates, vectors the digest of the text,
and both differ by version (`scripts.version_of`).
"""

import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference import wire
from inference.left_out import without
from inference.triton import region, tensors
from inference.triton.metrics import RestartMetric
from schemas.scoring import ScoreRequest
from tests.faults.scripts import APART, FAIL, FILE, NOT_FINITE, SLOW, WRONG_LENGTH, version_name

WIDTH = 8
SLOW_SECONDS = 7.0
"""Longer than any list deadline."""


class TritonPythonModel:
    """The interface that the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        region.protect()
        self._restarts = RestartMetric("scorer", args["model_version"])
        self._script = Path(args["model_repository"]) / FILE
        self._number = int(args["model_version"])
        self._version = version_name(self._number)

    def execute(self, requests: list[Any]) -> list[Any]:
        script = self._script.read_text().strip()
        if script == SLOW:
            time.sleep(SLOW_SECONDS)
        return [self._answer(request, script) for request in requests]

    def _answer(self, request: Any, script: str) -> Any:
        if script == FAIL:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("scripted", pb_utils.TritonError.INTERNAL))
        asked = wire.decode(tensors.payload(request))
        if isinstance(asked, wire.ForgetRequest):
            return tensors.response(np.zeros(0, np.float32), np.zeros(0, np.float32), self._version)
        if isinstance(asked, wire.InterpretRequest):
            strengths = np.array([name in asked.sentence for name in asked.names], np.float32)
            return tensors.response(strengths, np.zeros(0, np.float32), self._version)
        if isinstance(asked, wire.DescribeRequest):
            scores = np.zeros(len(asked.items), np.float32)
            vectors = np.concatenate([self._vector(item.text) for item in asked.items])
        else:
            contexts = [asked] if isinstance(asked, ScoreRequest) else all_of(asked)
            scores = np.concatenate(
                [-np.arange(len(each.candidates), dtype=np.float32) - APART * self._number for each in contexts]
            )
            vectors = np.concatenate([self._vector(each.history[-1].text if each.history else "") for each in contexts])
        if script == NOT_FINITE:
            vectors[0] = np.nan
            scores[:1] = np.inf
        elif script == WRONG_LENGTH:
            vectors, scores = np.append(vectors, np.float32(1)), np.append(scores, np.float32(1))
        return tensors.response(scores, vectors, self._version)

    def _vector(self, text: str) -> np.ndarray[Any, Any]:
        return vector_of(f"{self._number} {text}")


def all_of(asked: wire.WithoutRequest) -> list[ScoreRequest]:
    """The requests that it stands for: with all events, then without each."""
    return [asked.request, *(without(asked.request, place) for place in asked.left_out)]


def vector_of(text: str) -> np.ndarray[Any, Any]:
    """`WIDTH` numbers of -1 to 1."""
    digest = np.frombuffer(blake2b(text.encode(), digest_size=WIDTH).digest(), np.uint8)
    return digest.astype(np.float32) / np.float32(127.5) - np.float32(1)
