"""Third-party weights are data: their code never runs, without any prompt, and pickles are not opened."""

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from inference.engines import load_engine
from inference.errors import TritonFailed, WeightsError
from inference.settings import ModelSettings
from inference.transformer import weights
from inference.triton import server
from inference.triton.repository import build, weights_of
from tests.support.parts import need_triton

ROOT = Path(__file__).parents[3]
REFUSED = "which is never run"
STRANGE = {"model_type": "strange", "architectures": ["StrangeForCausalLM"]}
NAMES = {
    "config.json": {
        "AutoConfig": "strange.StrangeConfig",
        "AutoModelForCausalLM": "strange.StrangeForCausalLM",
    },
    "tokenizer_config.json": {"AutoTokenizer": ["strange.StrangeTokenizer", "strange.StrangeTokenizer"]},
}


def settings(source: Path) -> ModelSettings:
    return ModelSettings.make(strategy="full_text", source=str(source), dtype="fp32", threads=1)


def change(path: Path, **values: object) -> None:
    """Change a JSON file, which may not exist."""
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, **values}))


def plant(folder: Path, *files: str, mark: Path) -> None:
    """Let `files` of a model's folder reference code that writes `mark` when imported."""
    (folder / "strange.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    for name in files:
        change(folder / name, auto_map=NAMES[name])


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal that answers yes to every prompt."""
    terminal = io.StringIO("y\n" * 100)
    monkeypatch.setattr(sys, "stdin", terminal)
    return terminal


@pytest.mark.parametrize("name", NAMES)
def test_model_with_custom_code_is_refused(name: str, source: Path, tmp_path: Path, answering: io.StringIO) -> None:
    plant(source, name, mark=tmp_path / "mark")
    change(source / "config.json", **STRANGE)
    change(source / "tokenizer_config.json", tokenizer_class="StrangeTokenizer")
    with pytest.raises(WeightsError, match=REFUSED) as refused:
        weights.convert(tmp_path / "weights", settings(source))
    assert "\n" not in str(refused.value)
    assert "use a model with an architecture that transformers supports" in str(refused.value)
    assert (answering.tell(), (tmp_path / "mark").exists()) == (0, False)
    assert not (tmp_path / "weights").exists()


def test_code_of_a_known_architecture_is_not_copied(source: Path, tmp_path: Path, answering: io.StringIO) -> None:
    plant(source, *NAMES, mark=tmp_path / "mark")
    (source / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__ }}")
    made = weights.convert(tmp_path / "weights", settings(source))
    assert (answering.tell(), (tmp_path / "mark").exists()) == (0, False)
    assert {path.suffix for path in made.iterdir()} == {".json", ".safetensors"}
    written = "".join(path.read_text() for path in made.glob("*.json"))
    assert "auto_map" not in written
    assert "cycler" not in written


def test_modified_weights_are_not_loaded(source: Path, tmp_path: Path, answering: io.StringIO) -> None:
    """Load a model like an in-process worker, a server, training and evaluation."""
    chosen = settings(source)
    made = weights.convert(tmp_path / "models" / "scorer" / "1" / "weights", chosen)
    plant(made, "config.json", mark=tmp_path / "mark")
    change(made / "config.json", **STRANGE)
    with pytest.raises(WeightsError, match=REFUSED):
        load_engine(made, chosen)
    assert (answering.tell(), (tmp_path / "mark").exists()) == (0, False)


class Exploding:
    """Writes a file when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("index", [None, "pytorch_model.bin", "../elsewhere.safetensors"])
def test_pickled_weights_are_not_opened(
    index: str | None, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*args: object, **kwargs: object) -> None:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(torch, "load", opened)
    (source / "model.safetensors").rename(source.parent / "elsewhere.safetensors")
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Exploding(tmp_path / "mark")))
    if index is not None:
        listed = {"metadata": {"total_size": 1}, "weight_map": {"model.embed_tokens.weight": index}}
        (source / "model.safetensors.index.json").write_text(json.dumps(listed))
    with pytest.raises(WeightsError, match="only safetensors") as refused:
        weights.convert(tmp_path / "weights", settings(source))
    assert "convert" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_garbage_weights_give_a_one_line_error(name: str, source: Path, tmp_path: Path) -> None:
    (source / name).write_bytes(b"\x93{[")
    with pytest.raises(WeightsError, match="check the folder") as refused:
        weights.convert(tmp_path / "weights", settings(source))
    assert "\n" not in str(refused.value)


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `ouzel` in a terminal that answers yes to every prompt."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words],
        input="y\n" * 100,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(cwd / "hub")},
    )


def refuses(done: subprocess.CompletedProcess[str], mark: Path) -> None:
    told = done.stdout + done.stderr
    assert done.returncode == 1, told
    assert REFUSED in " ".join(told.split()), told
    assert "Traceback" not in told
    assert "y/N" not in told
    assert not mark.exists()


@pytest.mark.slow
def test_building_an_untrusted_model_is_refused(source: Path, tmp_path: Path) -> None:
    plant(source, *NAMES, mark=tmp_path / "mark")
    change(source / "config.json", **STRANGE)
    refuses(command("triton", "build", "--source", str(source), cwd=tmp_path), tmp_path / "mark")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_training_on_an_untrusted_model_is_refused(name: str, planted: Path) -> None:
    """Its weights are in the folder for training, and look like converted ones."""
    refuses(command(name, "--limit", "200", cwd=planted), planted / "mark")


@pytest.mark.slow
@pytest.mark.triton
def test_serving_an_untrusted_model_is_refused(planted: Path) -> None:
    need_triton()
    with pytest.raises(TritonFailed, match=REFUSED):
        server.start(planted / ".ouzel" / "models" / "repository", log=planted / "server.log")
    assert not (planted / "mark").exists()


@pytest.fixture
def planted(source: Path, tmp_path: Path) -> Path:
    """A work folder with a model repository whose weights reference custom code."""
    folder = tmp_path / "work"
    made = weights_of(build(folder / ".ouzel" / "models" / "repository", settings(source)))
    trained_on = ModelSettings()
    place, gguf = weights._locate(trained_on.source)
    origin = weights._origin(trained_on.source, place, gguf)
    change(made / weights.MANIFEST, source=trained_on.source, origin=origin, dtype="bf16")
    plant(made, "config.json", mark=folder / "mark")
    change(made / "config.json", **STRANGE)
    return folder


def test_pretrained_models_are_loaded_by_one_module_only() -> None:
    """It always disables custom code."""
    found = [
        path.relative_to(ROOT).as_posix()
        for package in ("schemas", "streams", "inference", "deploy")
        for path in (ROOT / package).rglob("*.py")
        if "from_pretrained(" in path.read_text()
    ]
    assert found == ["inference/transformer/pretrained.py"]
