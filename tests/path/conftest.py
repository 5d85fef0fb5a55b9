"""The model as `ouzel triton build` makes it, built once and kept."""

from pathlib import Path

import pytest

from inference.repository import build
from inference.settings import ModelSettings
from tests.inference.conftest import exact_model, installation, item_token_model, item_token_triton
from tests.parts import need_triton

__all__ = ["exact_model", "installation", "item_token_model", "item_token_triton", "model"]

MODELS = Path(__file__).parents[2] / ".ouzel" / "models"


@pytest.fixture(scope="session")
def model() -> tuple[Path, Path]:
    """The model repository and the environment of its models."""
    need_triton()
    environment = MODELS / "environment"
    return build(MODELS / "repository", ModelSettings(), environment=environment), environment
