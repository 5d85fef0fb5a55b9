"""Models and tokenizers of others, read by transformers as data only: no code that comes with one is run.

Weights are safetensors or GGUF, never a pickle. transformers asks on the terminal whether to run a model's own code
unless it is told not to, so every call to it stands here and tells it.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from inference.errors import WeightsError

_INDEX = "model.safetensors.index.json"
_DATA_ONLY: dict[str, Any] = {"trust_remote_code": False}


def read_model(place: str | Path, *, attention: str, next_step: str, gguf: str | None = None, **options: Any) -> Any:
    """The causal language model in the folder `place`, or of that name on a hub.

    `attention` is always named, since a config could name one that is fetched as code. Raises `WeightsError`, which
    ends with `next_step`.
    """
    import torch  # noqa: F401, PLC0415  (seconds to import; who only asks for a manifest is spared)
    import transformers  # noqa: PLC0415

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind: dict[str, Any] = {"use_safetensors": True} if gguf is None else {"gguf_file": gguf}
    try:
        _check_index(Path(place))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place, attn_implementation=attention, **kind, **options, **_DATA_ONLY
        )
    except Exception as error:  # whatever a library makes of files that anybody may have written
        raise _refused(place, error, next_step) from error
    # transformers has the architecture itself: the names of code beside it are not written on.
    vars(model.config).pop("auto_map", None)
    return model


def read_tokenizer(place: str | Path, *, next_step: str, gguf: str | None = None, **options: Any) -> Any:
    """The tokenizer beside a model, as `read_model`. Its chat template, which is code in a way, is dropped."""
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
    """Raise where the list of a model's files names others than safetensors in `folder`, which transformers would
    open all the same."""
    path = folder / _INDEX
    if not path.is_file():
        return
    names = set(json.loads(path.read_bytes())["weight_map"].values())
    foreign = sorted(name for name in names if Path(name).name != name or not name.endswith(".safetensors"))
    if foreign:
        raise WeightsError(
            f"{path} names {foreign[0]!r}, and only safetensors beside it are read; convert the model to safetensors"
        )


def _refused(place: str | Path, error: Exception, next_step: str) -> WeightsError:
    """What to say of `error`, in one sentence."""
    if isinstance(error, WeightsError):
        return error
    text = " ".join(str(error).split()) or type(error).__name__
    if "trust_remote_code" in text:
        return WeightsError(
            f"{place} comes with Python code of its own (auto_map), and no code of a model is run; use a model whose "
            "architecture transformers knows without it"
        )
    if ".safetensors" in text and isinstance(error, OSError) and _pickled(Path(place)):
        return WeightsError(f"{place} has its weights as a pickle, and only safetensors are read; convert them first")
    return WeightsError(f"{place} cannot be read: {text}; {next_step}")


def _pickled(folder: Path) -> bool:
    with suppress(OSError):
        return any(path.suffix in {".bin", ".pt", ".pth", ".ckpt"} for path in folder.iterdir())
    return False
