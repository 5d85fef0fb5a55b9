"""Tensors between tritonserver's Python backend and a model, as DLPack. Imported inside Triton's stub only.

The backend of tritonserver 2.51 was compiled against numpy 1. Under numpy 2 its own arrays (`as_numpy`, `Tensor(name,
array)`) are silently wrong: it reads the size of an element at the wrong place, as 0, so that every element equals the
first (python_backend PR #384). DLPack passes the address, shape and type of the memory, which avoids the backend's
arrays. It has no strings, so bytes travel as UINT8 (`inference.wire`).
"""

from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from torch.utils.dlpack import from_dlpack

from inference import wire


def payload(request: Any) -> bytes:
    """The bytes of a Triton request's `wire.REQUEST`, which is zeroed: a second call returns zeros.

    The tensor is in the region of /dev/shm that the backend shares with its stub. Freed memory stays readable there
    until it is reused: titles, and texts of users who may have been erased.
    """
    view = _read(pb_utils.get_input_tensor_by_name(request, wire.REQUEST))
    found = view.tobytes()
    view.fill(0)
    return found


def response(scores: np.ndarray[Any, Any], vector: np.ndarray[Any, Any], version: str) -> Any:
    """A Triton response of float32 `scores` [n] and `vector` [k], each of any length down to 0."""
    named = np.frombuffer(version.encode(), np.uint8)
    return pb_utils.InferenceResponse(
        [_tensor(wire.SCORES, scores), _tensor(wire.VECTOR, vector), _tensor(wire.VERSION, named)]
    )


def check() -> None:
    """Raise `TritonModelException` if torch and this backend do not exchange tensors unchanged."""
    for written in (np.arange(251, dtype=np.uint8), np.linspace(-1, 1, 97, dtype=np.float32), np.zeros(0, np.float32)):
        read = _read(_tensor("check", written))
        if (read.shape, read.dtype, read.tobytes()) != ((1, written.size), written.dtype, written.tobytes()):
            raise pb_utils.TritonModelException(
                f"torch {torch.__version__} (numpy {np.__version__}) and this tritonserver do not exchange tensors: "
                f"{written.size} of {written.dtype} came back wrong; recreate the environment with `make install`, or "
                "score in-process"
            )


def _read(tensor: Any) -> np.ndarray[Any, Any]:
    """A view of the tensor's memory, which keeps the tensor alive."""
    view: np.ndarray[Any, Any] = from_dlpack(tensor.to_dlpack()).numpy()
    return view


def _tensor(name: str, values: np.ndarray[Any, Any]) -> Any:
    """A tensor [1, n]: a batch of one, with a copy of `values` [n]."""
    # Not [None]: an empty tensor would have strides of 0, which the backend rejects as not contiguous.
    return pb_utils.Tensor.from_dlpack(name, torch.tensor(values).reshape(1, values.size))
