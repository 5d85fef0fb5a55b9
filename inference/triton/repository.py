"""The Triton model repository: `scorer/config.pbtxt` from settings, and one folder per version.

TARGET/scorer/config.pbtxt       also names the versions to serve, if they were chosen (`served`)
TARGET/scorer/weights/           safetensors, config, tokenizer, manifest
TARGET/scorer/1/model.py         imports this package; the logic is in `inference.triton.model`
TARGET/scorer/1/__pycache__/     its bytecode
TARGET/scorer/1/settings.json
TARGET/scorer/1/weights          a link to the weights, which all versions share
TARGET/scorer/1/adapter/         for item tokens: the trained adapter and its card

Triton loads a version again if anything in its folder has a new modification or change time, and all versions if
something appears beside them. So nothing is written here that is not new, weights are shared by symbolic links (a hard
link changes the time of the file), and the bytecode is made here, which Python would add at the first load.
"""

import filecmp
import os
import py_compile
import re
import shutil
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from inference import wire
from inference.errors import SettingsError, WeightsError
from inference.progress import Progress, silent
from inference.settings import ADAPTER, SETTINGS, WEIGHTS, ModelSettings, Strategy
from inference.transformer.weights import Manifest, convert, read_manifest
from inference.triton.server import MODEL
from inference.versions.store import FIRST

CONFIG = "config.pbtxt"
MODEL_PY = "model.py"
_MODEL = '''"""Made by `ouzel triton build`. The model itself is inference.triton.model."""

from inference.triton.loading import load_class

TritonPythonModel = load_class()

__all__ = ["TritonPythonModel"]
'''
_POLICY = re.compile(r"^version_policy \{ specific \{ versions: \[ ([0-9]+(?:, [0-9]+)*) \] \} \}\n", re.MULTILINE)


def build(target: Path, settings: ModelSettings, progress: Progress = silent, *, version: int = FIRST) -> Path:
    """Build the model repository `target`. Returns it.

    Leaves parts that are up to date as they are, so a second build is instant and a running server need not load the
    version again. The versions to serve stay the same, unless the weights are others: then it is this version alone.
    Raises `WeightsError`.
    """
    folder = target / MODEL / str(version)
    _place_adapter(folder / ADAPTER, settings)
    _share_weights(folder / WEIGHTS)
    before = _manifest(folder / WEIGHTS)
    convert(folder / WEIGHTS, settings, progress)
    write_changed(folder / SETTINGS, settings.as_json())
    write_model(folder)
    same = before is None or before == _manifest(folder / WEIGHTS)
    # Last: without it an interrupted build is not servable.
    write_config(target, with_policy(config_pbtxt(settings), (same and served(target)) or (version,)))
    return target


def _share_weights(link: Path) -> None:
    """Make `link`, in a version's folder, a link to the weights that all versions share. Weights that an earlier
    release converted into the version's folder move there."""
    shared = link.parents[1] / WEIGHTS
    if link.is_symlink():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        if shared.exists():
            shutil.rmtree(link)
        else:
            link.rename(shared)
    link.symlink_to(Path("..") / WEIGHTS)


def _manifest(weights: Path) -> Manifest | None:
    with suppress(WeightsError):
        return read_manifest(weights)
    return None


def _place_adapter(target: Path, settings: ModelSettings) -> None:
    """Copy the adapter that `settings` name to `target`, or remove it if they need none. Raises `WeightsError`."""
    from inference.item_tokens.adapter import locate  # noqa: PLC0415  (imports torch)

    if settings.strategy is Strategy.FULL_TEXT:
        shutil.rmtree(target, ignore_errors=True)
        return
    source = locate(settings.adapter)
    if _same_files(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        shutil.copytree(source, aside)
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders without subfolders have the same files with the same contents."""
    if not other.is_dir():
        return False
    names = [path.name for path in one.iterdir()]
    if set(names) != {path.name for path in other.iterdir()}:
        return False
    return filecmp.cmpfiles(one, other, names, shallow=False)[0] == names


def write_model(folder: Path) -> None:
    """Write `model.py` and its bytecode into a version's folder, unless they are up to date.

    The bytecode is of this Python, which a server started here runs, and valid for the source by its hash, so that
    copies stay valid.
    """
    source = folder / MODEL_PY
    fresh = write_changed(source, _MODEL.encode())
    bytecode = folder / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    if fresh or not bytecode.exists():
        py_compile.compile(
            str(source),
            cfile=str(bytecode),
            dfile=MODEL_PY,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )


def write_changed(path: Path, content: bytes) -> bool:
    """Write a file unless it has this content. Returns whether it did."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
        path.unlink()  # a hard link elsewhere keeps its content
    path.write_bytes(content)
    return True


def beside(repository: Path) -> Path:
    """A folder for unfinished files, created if missing. It lies outside, since a server loads every folder in a
    repository as a model, and beside it, on the same file system, since finished files are renamed."""
    found = repository.with_name(f".{repository.name}-unfinished")
    found.mkdir(parents=True, exist_ok=True)
    return found


def weights_of(repository: Path, version: int = FIRST) -> Path:
    """The weights folder of a built repository, for scoring in-process."""
    return repository / MODEL / str(version) / WEIGHTS


def settings_of(repository: Path, version: int = FIRST) -> ModelSettings:
    """The settings of a built repository. Raises `SettingsError`."""
    return ModelSettings.read(repository / MODEL / str(version) / SETTINGS)


def read_config(repository: Path) -> str:
    """Raises `SettingsError`."""
    try:
        return (repository / MODEL / CONFIG).read_text()
    except OSError as error:
        raise SettingsError(f"{repository} has no model ({error}); run `ouzel triton build`") from None


def write_config(repository: Path, text: str) -> None:
    """Replace the configuration atomically and durably, unless it is the same."""
    path = repository / MODEL / CONFIG
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return
    aside = beside(repository) / f"{CONFIG}-{os.getpid()}"
    with aside.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    aside.rename(path)
    sync(path.parent)


def served(repository: Path) -> tuple[int, ...]:
    """The versions that a server of this repository loads when it starts; none named: the newest."""
    try:
        found = _POLICY.search(read_config(repository))
    except SettingsError:
        return ()
    return tuple(map(int, found[1].split(", "))) if found else ()


def with_policy(config: str, numbers: Collection[int]) -> str:
    """A model configuration that serves exactly these versions; none: the newest. Raises `SettingsError`."""
    plain = _POLICY.sub("", config)
    if "version_policy" in plain:
        raise SettingsError(f"{CONFIG} has a version_policy of another form; run `ouzel triton build`")
    if not numbers:
        return plain
    return f"{plain}version_policy {{ specific {{ versions: [ {', '.join(map(str, sorted(numbers)))} ] }} }}\n"


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    at = os.open(path, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


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
