"""The Triton model repository: `scorer/config.pbtxt` from settings, and a self-contained version folder.

TARGET/scorer/config.pbtxt
TARGET/scorer/1/model.py         imports this package; the logic is in `inference.triton.model`
TARGET/scorer/1/settings.json
TARGET/scorer/1/weights/         safetensors, config, tokenizer, manifest
TARGET/scorer/1/adapter/         for item tokens: the trained adapter and its card
"""

import os
import shutil
from pathlib import Path

from inference import wire
from inference.progress import Progress, silent
from inference.settings import ADAPTER, SETTINGS, WEIGHTS, ModelSettings, Strategy
from inference.transformer.weights import convert
from inference.triton.server import MODEL

_MODEL_PY = '''"""Made by `ouzel triton build`. The model itself is inference.triton.model."""

from inference.triton.model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def build(target: Path, settings: ModelSettings, progress: Progress = silent, *, version: int = 1) -> Path:
    """Build the model repository `target`. Returns it.

    Reuses parts that are up to date, so a second build is instant. Raises `WeightsError`.
    """
    folder = target / MODEL / str(version)
    _place_adapter(folder / ADAPTER, settings)
    convert(folder / WEIGHTS, settings, progress)
    settings.write(folder / SETTINGS)
    (folder / "model.py").write_text(_MODEL_PY)
    # Last: without it an interrupted build is not servable.
    aside = target / MODEL / f".config-{os.getpid()}"
    aside.write_text(config_pbtxt(settings))
    aside.rename(target / MODEL / "config.pbtxt")
    return target


def _place_adapter(target: Path, settings: ModelSettings) -> None:
    """Copy the adapter that `settings` name to `target`, or remove it if they need none. Raises `WeightsError`."""
    from inference.item_tokens.adapter import locate  # noqa: PLC0415  (imports torch)

    if settings.strategy is Strategy.FULL_TEXT:
        shutil.rmtree(target, ignore_errors=True)
        return
    source = locate(settings.adapter)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        shutil.copytree(source, aside)
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def weights_of(repository: Path, version: int = 1) -> Path:
    """The weights folder of a built repository, for scoring in-process."""
    return repository / MODEL / str(version) / WEIGHTS


def settings_of(repository: Path, version: int = 1) -> ModelSettings:
    """The settings of a built repository. Raises `SettingsError`."""
    return ModelSettings.read(repository / MODEL / str(version) / SETTINGS)


def config_pbtxt(settings: ModelSettings) -> str:
    """The model's configuration.

    Bytes are UINT8, see `inference.triton.tensors`. `allow_ragged_batch` lets requests of different lengths share a
    batch; the Python backend passes each separately. `dynamic_batching` has no options: any queue policy stalls
    requests for half a second on tritonserver 2.51 (server #8870). Clients do the admission control.
    """
    return f"""name: "{MODEL}"
backend: "python"
max_batch_size: {settings.max_batch}
input [ {{ name: "{wire.REQUEST}" data_type: TYPE_UINT8 dims: [ -1 ] allow_ragged_batch: true }} ]
output [
  {{ name: "{wire.SCORES}" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "{wire.VECTOR}" data_type: TYPE_FP32 dims: [ -1 ] }},
  {{ name: "{wire.VERSION}" data_type: TYPE_UINT8 dims: [ -1 ] }}
]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""
