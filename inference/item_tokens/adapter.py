"""An adapter: all trained parameters for item tokens, as a folder of a few MB. The base model stays unchanged.

FOLDER/adapter.safetensors     heads, LoRA (not merged) and residuals of single items, fp16 except means and scales
FOLDER/adapter.json            the base model and formats it belongs to, its sizes, and figures
FOLDER/items.json              ids of the items that have residuals, if any
FOLDER/card.md                 the model card: training data and results
FOLDER/training.svg            the training curves, if drawn
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
import torch
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.errors import WeightsError
from inference.item_tokens.context import VERSION as CONTEXT
from inference.item_tokens.heads import Heads, Shape
from inference.item_tokens.learned import MOST_SOURCES, Learned
from inference.item_tokens.lora import ADAPTED
from inference.item_tokens.reading import DEPTHS
from inference.item_tokens.reading import VERSION as READER
from inference.item_tokens.residuals import Residuals

TENSORS = "adapter.safetensors"
MANIFEST = "adapter.json"
ITEMS = "items.json"
CARD = "card.md"
PLOT = "training.svg"
DEFAULT = "default"
SHIPPED = Path(__file__).parents[1] / "adapters"
"""The adapters shipped with this package."""

_EXACT = {"heads.mean", "heads.scale", "heads.temperature", "heads.slope", "heads.offset"}
"""Tensors stored in fp32: hidden states can be far larger than their differences."""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """The training cutoff: the adapter learned only from events before `ts` (milliseconds), at this `share` of its
    stream."""

    ts: int
    share: Annotated[float, Meta(ge=0, le=1)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The model and formats that an adapter belongs to.

    `base` is the name of the language model (`inference.transformer.weights.name_of`), `reader` and `context` the
    versions of the item reader and the context format, `depths` the layers after which states are read. `learned` says
    what it learned from; it is empty in adapters of earlier versions.
    """

    base: str
    reader: str
    context: str
    depths: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]
    shape: Shape
    cut: Cut | None = None
    learned: Annotated[tuple[Learned, ...], Meta(max_length=MOST_SOURCES)] = ()
    figures: dict[str, float] = {}


@dataclass(frozen=True, eq=False)
class Adapter:
    """A trained adapter. `lora` has the names given by `inference.item_tokens.lora.adapt`; it is empty with rank 0.

    `residuals` has one row more than `items`: row 0 is for all other items. `version` is a digest of the files, empty
    if the adapter was not loaded from files.
    """

    base: str
    heads: Heads
    lora: Mapping[str, Tensor]
    residuals: Residuals
    items: Sequence[str] = ()
    depths: Sequence[int] = DEPTHS
    cut: Cut | None = None
    learned: Sequence[Learned] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    version: str = ""

    @property
    def shape(self) -> Shape:
        return self.heads.shape

    @classmethod
    def random(cls, decoder: Any, base: str, shape: Shape, *, depths: Sequence[int] = DEPTHS, seed: int = 0) -> Self:
        """An untrained adapter in which every part affects the scores, for tests and benchmarks."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            heads = Heads(shape)
            torch.nn.init.normal_(heads.bias.weight, std=0.05)
            torch.nn.init.normal_(heads.correct.weight, std=0.05)
            torch.nn.init.normal_(heads.candidate, std=0.2)
            lora = {}
            for name, (out, into) in _linear_shapes(decoder, shape.layers if shape.rank else 0).items():
                lora[f"{name}.down"] = torch.randn(shape.rank, into) * into**-0.5
                lora[f"{name}.up"] = torch.randn(out, shape.rank) * 0.02
        residuals = Residuals.empty(shape).requires_grad_(False).eval()
        return cls(base, heads.requires_grad_(False), lora, residuals, depths=tuple(depths),
                   version=f"random-{seed}")  # fmt: skip

    def check(self, decoder: Any, base: str) -> None:
        """Raises `WeightsError` unless it belongs to the language model named `base`."""
        if base != self.base:
            raise WeightsError(
                f"the adapter was trained on {self.base}, not on {base}; use an adapter for this model, or train one"
            )
        deepest = max(self.shape.layers, *self.depths)
        if deepest > len(decoder.layers):
            raise WeightsError(
                f"the adapter reads {deepest} layers, {base} has {len(decoder.layers)}; retrain the adapter"
            )
        hidden = decoder.embed_tokens.weight.shape[1]
        if (hidden, hidden * len(self.depths)) != (self.shape.hidden, self.shape.reading):
            raise WeightsError(
                f"the adapter is for states of {self.shape.hidden} and readings of {self.shape.reading}, {base} has "
                f"{hidden} and {hidden * len(self.depths)}; retrain the adapter"
            )
        shapes = _linear_shapes(decoder, self.shape.layers) if self.shape.rank else {}
        expected = {f"{name}.down": (self.shape.rank, into) for name, (_, into) in shapes.items()}
        expected |= {f"{name}.up": (out, self.shape.rank) for name, (out, _) in shapes.items()}
        found = {name: tuple(tensor.shape) for name, tensor in self.lora.items()}
        if found != expected:
            wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            raise WeightsError(f"the adapter's LoRA does not fit {base}: {wrong[0]}; retrain the adapter")


def locate(name: str) -> Path:
    """The folder of an adapter, given the name of a shipped one or a path. Raises `WeightsError`."""
    for folder in (SHIPPED / name, Path(name)):
        if (folder / MANIFEST).is_file():
            return folder
    raise WeightsError(
        f"adapter {name!r} was not found: train one with `ouzel train` and pass its folder, or use the strategy "
        "full_text, which needs no adapter"
    )


def save(folder: Path, adapter: Adapter, card: str, plot: str = "") -> Path:
    """Write `adapter` to `folder` atomically, replacing an existing one. Returns `folder`.

    Raises `WeightsError` for numbers that are not finite in their storage format.
    """
    parts = {f"lora.{name}": tensor for name, tensor in adapter.lora.items()}
    parts |= {f"heads.{name}": tensor for name, tensor in adapter.heads.state_dict().items()}
    if adapter.items or adapter.shape.tower:
        parts |= {f"residuals.{name}": tensor for name, tensor in adapter.residuals.state_dict().items()}
    tensors = {
        name: tensor.detach().to("cpu", torch.float32 if name in _EXACT else torch.float16).contiguous()
        for name, tensor in parts.items()
    }
    _check_finite(tensors, "nothing was saved; check the training losses")
    manifest = Manifest(
        base=adapter.base,
        reader=READER,
        context=CONTEXT,
        depths=tuple(adapter.depths),
        shape=adapter.shape,
        cut=adapter.cut,
        learned=tuple(adapter.learned),
        figures=dict(adapter.figures),
    )
    aside = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        save_file(tensors, aside / TENSORS)
        (aside / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        if adapter.items:
            (aside / ITEMS).write_bytes(msgspec.json.encode(list(adapter.items)))
        (aside / CARD).write_text(card, encoding="utf-8")
        if plot:
            (aside / PLOT).write_text(plot, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    except OSError as error:
        raise WeightsError(f"{folder}: {error}; free some disk space or use another folder") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def load(folder: Path) -> Adapter:
    """Load the adapter in `folder`, in fp32 and frozen. Raises `WeightsError` with the reason."""
    again = "retrain it, or copy the complete folder"
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        items = msgspec.json.decode((folder / ITEMS).read_bytes(), type=list[str]) if (folder / ITEMS).exists() else []
        tensors = {name: tensor.float() for name, tensor in load_file(folder / TENSORS).items()}
        version = digest_of(folder)
    except (OSError, msgspec.DecodeError, SafetensorError) as error:
        raise WeightsError(f"{folder} holds no readable adapter ({error}); {again}") from None
    if (manifest.reader, manifest.context) != (READER, CONTEXT):
        raise WeightsError(
            f"{folder} was trained for {manifest.reader}/{manifest.context}, but this version of Ouzel reads items and "
            f"contexts as {READER}/{CONTEXT}; retrain it"
        )
    _check_finite(tensors, again)
    heads = Heads(manifest.shape)
    residuals = Residuals(manifest.shape, len(items))
    parts: dict[str, dict[str, Tensor]] = {"heads": {}, "lora": {}, "residuals": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    try:
        heads.load_state_dict(parts["heads"])
        if items or manifest.shape.tower:
            residuals.load_state_dict(parts["residuals"])
    except RuntimeError as error:
        raise WeightsError(f"{folder}: {str(error).splitlines()[-1].strip()}; {again}") from None
    return Adapter(
        base=manifest.base,
        heads=heads.requires_grad_(False).train(False),
        lora=parts["lora"],
        residuals=residuals.requires_grad_(False).train(False),
        items=tuple(items),
        depths=manifest.depths,
        cut=manifest.cut,
        learned=manifest.learned,
        figures=manifest.figures,
        version=version,
    )


def _linear_shapes(decoder: Any, layers: int) -> dict[str, tuple[int, int]]:
    """The output and input sizes of each layer that LoRA changes, by its name in an adapter."""
    return {
        f"{at}.{part}.{name}": tuple(getattr(getattr(layer, part), name).weight.shape)
        for at, layer in enumerate(list(decoder.layers)[:layers])
        for part, names in ADAPTED
        for name in names
    }


def _check_finite(tensors: Mapping[str, Tensor], what_to_do: str) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{name} of the adapter has non-finite numbers; {what_to_do}")


def digest_of(folder: Path) -> str:
    """The version of the adapter in `folder`."""
    whole = hashlib.sha256()
    for name in (TENSORS, ITEMS):
        if (folder / name).exists():
            whole.update((folder / name).read_bytes())
    return whole.hexdigest()[:8]
