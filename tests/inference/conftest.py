"""A tritonserver with the real model in fp32, shared by the session; and the folder that the model is built in once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference import server
from inference.errors import TritonNotAvailable
from inference.repository import build
from inference.settings import ModelSettings

CACHE = Path(__file__).parents[2] / ".ouzel" / "tests"
"""Kept between runs, since building takes most of a minute; ignored by git."""

SETTINGS = ModelSettings.make(dtype="fp32", max_candidates=32)


@pytest.fixture(scope="session")
def installation() -> server.Installation:
    try:
        return server.find_installation()
    except TritonNotAvailable as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def exact_model(installation: server.Installation) -> tuple[Path, Path]:
    """The model repository with the real weights in fp32, and its environment."""
    environment = CACHE / "environment"
    return build(CACHE / "fp32", SETTINGS, environment=environment), environment


@pytest.fixture(scope="session")
def triton(exact_model: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.TritonServer]:
    with server.running(*exact_model, log=tmp_path_factory.mktemp("triton") / "server.log") as running:
        yield running
