"""Load third-party models and tokenizers with transformers as data only: code that comes with them never runs.

Weights are safetensors or GGUF, never a pickle. By default transformers asks on the terminal whether to run a model's
custom code, so all calls to it are in this module and disable that.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.errors import WeightsError

_INDEX = "model.safetensors.index.json"
_DATA_ONLY: dict[str, Any] = {"trust_remote_code": False}


def read_model(place: str | Path, *, attention: str, next_step: str, gguf: str | None = None, **options: Any) -> Any:
    """Load the causal language model in the folder `place`, or with that name on a hub.

    `attention` is always explicit, since a config could name one that is fetched as code. Raises `WeightsError`, which
    ends with `next_step`.
    """
    import torch  # noqa: F401, PLC0415  (takes seconds to import; not needed for manifests)
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind: dict[str, Any] = {"use_safetensors": True} if gguf is None else {"gguf_file": gguf}
    try:
        _check_index(Path(place))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place, attn_implementation=attention, **kind, **options, **_DATA_ONLY
        )
    except Exception as error:  # libraries can raise anything for untrusted files
        raise _refused(place, error, next_step) from error
    # transformers implements the architecture, so references to custom code are not passed on.
    vars(model.config).pop("auto_map", None)
    return model


def read_tokenizer(place: str | Path, *, next_step: str, gguf: str | None = None, **options: Any) -> Any:
    """Load the tokenizer of a model, like `read_model`. Drops its chat template, which is executable."""
    import transformers  # noqa: PLC0415

    kind: dict[str, Any] = {} if gguf is None else {"gguf_file": gguf}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **kind, **options, **_DATA_ONLY)
    except Exception as error:
        raise _refused(place, error, next_step) from error
    tokenizer.chat_template = None
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def _check_index(folder: Path) -> None:
    """Refuse a weight index that names files other than safetensors in `folder`: transformers would open them."""
    path = folder / _INDEX
    if not path.is_file():
        return
    names = set(json.loads(path.read_bytes())["weight_map"].values())
    foreign = sorted(name for name in names if Path(name).name != name or not name.endswith(".safetensors"))
    if foreign:
        raise WeightsError(
            f"{path} names {foreign[0]!r}, but only safetensors in the same folder are read; convert the model to "
            "safetensors"
        )


def _refused(place: str | Path, error: Exception, next_step: str) -> WeightsError:
    """`error` as a one-line `WeightsError`."""
    if isinstance(error, WeightsError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    if "trust_remote_code" in text:
        return WeightsError(
            f"{place} needs custom Python code (auto_map), which is never run; use a model with an architecture that "
            "transformers supports"
        )
    if ".safetensors" in text and isinstance(error, OSError) and _pickled(Path(place)):
        return WeightsError(f"{place} has pickled weights, but only safetensors are read; convert them first")
    return WeightsError(f"{place} cannot be read: {text}; {next_step}")


def _pickled(folder: Path) -> bool:
    with suppress(OSError):
        return any(path.suffix in {".bin", ".pt", ".pth", ".ckpt"} for path in folder.iterdir())
    return False
