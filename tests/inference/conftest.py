"""A tritonserver with the real model in fp32, shared by the session, and the model's build folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from inference.settings import ModelSettings, Strategy
from inference.transformer.weights import load_model, name_of
from inference.triton import server
from inference.triton.repository import build, weights_of
from tests.support.parts import need_triton

CACHE = Path(__file__).parents[2] / ".ouzel" / "tests"
"""Reused between runs, since building takes most of a minute; ignored by git."""

SETTINGS = ModelSettings.make(strategy="full_text", dtype="fp32", max_candidates=32)


@pytest.fixture(scope="session")
def exact_model() -> Path:
    """The model repository with the real weights in fp32."""
    need_triton()
    return build(CACHE / "fp32", SETTINGS)


@pytest.fixture(scope="session")
def triton(exact_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.TritonServer]:
    with server.running(exact_model, log=tmp_path_factory.mktemp("triton") / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def item_token_model(exact_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights for item tokens, with an untrained adapter."""
    from inference.item_tokens.adapter import Adapter, save
    from inference.item_tokens.heads import Shape
    from inference.transformer.attention import IMPLEMENTATION  # imports torch, which not every test environment has

    shape = Shape(hidden=576, reading=1152, layers=4)
    target = tmp_path_factory.mktemp("item-tokens")
    decoder = load_model(weights_of(exact_model), SETTINGS, IMPLEMENTATION).base_model
    adapter = save(target / "adapter", Adapter.random(decoder, name_of(SETTINGS.source), shape), "never trained")
    weights = weights_of(target / "models")
    weights.parent.mkdir(parents=True)
    weights.symlink_to(weights_of(exact_model))
    chosen = structs.replace(SETTINGS, strategy=Strategy.ITEM_TOKENS, adapter=str(adapter), max_reads=64)
    return build(target / "models", chosen)


@pytest.fixture(scope="session")
def item_token_triton(
    item_token_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[server.TritonServer]:
    with server.running(item_token_model, log=tmp_path_factory.mktemp("triton") / "server.log") as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder in the Hugging Face layout with a tiny model and a byte tokenizer."""
    from tests.support.tiny_repository import hugging_face

    return hugging_face(tmp_path / "Tiny Model")
