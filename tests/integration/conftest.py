"""The model as `ouzel triton build` makes it, built once and kept."""

from pathlib import Path

import pytest

from inference.settings import ModelSettings
from inference.triton.repository import build
from tests.inference.conftest import exact_model, item_token_model, item_token_triton
from tests.support.parts import need_triton

__all__ = ["exact_model", "item_token_model", "item_token_triton", "model"]

MODELS = Path(__file__).parents[2] / ".ouzel" / "models"


@pytest.fixture(scope="session")
def model() -> Path:
    """The model repository."""
    need_triton()
    return build(MODELS / "repository", ModelSettings())
