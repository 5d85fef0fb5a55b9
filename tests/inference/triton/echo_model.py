"""A model for a real tritonserver that answers with what it was asked, to see that no byte changes on the way.

A question is a byte (1: answer later, from a thread), the number of scores as four bytes, and float32 numbers: the
scores, then the vector. The version is the digest of the question and the number of questions in its batch. It runs in
Triton's Python stub.
"""

import queue
import threading
from hashlib import blake2b
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from inference.triton import region, tensors


class TritonPythonModel:
    """The interface that the Python backend calls."""

    def initialize(self, _args: dict[str, str]) -> None:
        region.protect()
        tensors.check()
        self._later: queue.SimpleQueue[tuple[Any, bytes, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._answer_later, daemon=True)
        self._thread.start()

    def execute(self, requests: list[Any]) -> list[Any]:
        responses: list[Any] = [None] * len(requests)
        for place, request in enumerate(requests):
            payload = tensors.payload(request)
            if payload[:1] == b"\1":
                self._later.put((request.get_response_sender(), payload, len(requests)))
            else:
                responses[place] = _echo(payload, len(requests))
        return responses

    def finalize(self) -> None:
        self._later.put(None)
        self._thread.join()

    def _answer_later(self) -> None:
        while (asked := self._later.get()) is not None:
            sender, payload, together = asked
            sender.send(_echo(payload, together), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _echo(payload: bytes, together: int) -> Any:
    count = int.from_bytes(payload[1:5], "little")
    numbers = np.frombuffer(payload, "<f4", offset=min(5, len(payload)))
    digest = blake2b(payload, digest_size=8).hexdigest()
    return tensors.response(numbers[:count], numbers[count:], f"{digest} {together}")
