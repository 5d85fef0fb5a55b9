"""Parts that a test may need and a machine may lack: such a test is skipped, with the reason printed.

With `OUZEL_REQUIRE_ALL=1` in the environment every skip is a failure (`tests/conftest.py`). PyTorch, and what comes
with it, may be lacking only with `OUZEL_WITHOUT_TORCH=1`, which `make unit-without-torch` sets: then the tests that
need it are skipped under `OUZEL_REQUIRE_ALL=1` too.
"""

import os
import shutil

import pytest

from deploy.errors import MissingPart
from deploy.local.brokers import find_kafka
from inference.errors import TritonNotAvailable
from inference.triton.installation import find_installation

INFERENCE = {"accelerate", "gguf", "huggingface_hub", "safetensors", "tokenizers", "torch", "transformers", "yaml"}
"""The packages of the inference extra that nothing else needs."""

WITHOUT_TORCH = "PyTorch is left out here (OUZEL_WITHOUT_TORCH), and it imports PyTorch or what comes with it."


def without_torch() -> bool:
    """Whether PyTorch is left out on purpose."""
    return os.environ.get("OUZEL_WITHOUT_TORCH", "") not in ("", "0")


def for_want_of_torch(error: BaseException | None) -> bool:
    """Whether a test ended with `error` because PyTorch, or a package that comes with it, is left out on purpose."""
    return (
        without_torch() and isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in INFERENCE
    )


def require_all() -> bool:
    """Whether a missing part is a failure."""
    return os.environ.get("OUZEL_REQUIRE_ALL", "") not in ("", "0")


def need(found: bool, reason: str) -> None:
    """Skip the running test for `reason` unless `found`."""
    if not found:
        pytest.skip(reason)


def need_kafka() -> None:
    try:
        find_kafka()
    except MissingPart as missing:
        pytest.skip(str(missing))


def need_program(name: str, remedy: str) -> str:
    """The path of a program, or a skip that says how to get it."""
    path = shutil.which(name)
    need(path is not None, f"{name} was not found. {remedy}")
    assert path is not None
    return path


def need_kcat() -> str:
    return need_program("kcat", "Install it: apt-get install kcat.")


def need_prometheus() -> str:
    return need_program("prometheus", "Install it: apt-get install prometheus.")


def need_chromium() -> str:
    return need_program("chromium", "Install it: apt-get install chromium.")


def need_triton() -> None:
    try:
        find_installation()
    except TritonNotAvailable as missing:
        pytest.skip(str(missing))
