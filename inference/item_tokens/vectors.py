"""Tokens and vectors of a version's items in a file beside its adapter, so that loading the version reads no item.

FOLDER/vectors.safetensors     keys uint8 [n, 20], tokens float32 [n, hidden], vectors float32 [n, width]

The metadata names the engine that computed them: weights, number format, adapter and context format. Another engine
refuses the file and reads items as usual.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inference.errors import WeightsError
from inference.item_tokens.adapter import digest_of
from inference.item_tokens.item_cache import KEY_BYTES
from inference.progress import Count, uncounted
from schemas.scoring import Candidate

if TYPE_CHECKING:
    from inference.item_tokens.engine import ItemTokenEngine

FILE = "vectors.safetensors"
VERSION = "version"
"""The metadata that names the engine."""

_TOGETHER = 512
"""Items between two reports of progress."""


class ItemRows(NamedTuple):
    """Distinct keys (`Items.key`) with their tokens float32 [n, hidden] and vectors float32 [n, width]."""

    keys: Sequence[bytes]
    tokens: Tensor
    vectors: Tensor


def write_vectors(
    folder: Path, engine: "ItemTokenEngine", items: Sequence[Candidate], progress: Count = uncounted
) -> int:
    """Write the rows of `items` to `folder` atomically; reads those without stored readings. Returns the number of
    distinct items.

    `engine` must have the adapter in `folder` and the number format that the version will run in. Raises
    `WeightsError`.
    """
    if digest_of(folder) not in engine.version:
        raise WeightsError(f"{engine.version} does not have the adapter in {folder}; load the engine from that folder")
    rows = _computed(engine, items, progress)
    if not (torch.isfinite(rows.tokens).all() and torch.isfinite(rows.vectors).all()):
        raise WeightsError(f"the vectors of {engine.version} are not finite; retrain the adapter")
    keys = torch.frombuffer(bytearray(b"".join(rows.keys)), dtype=torch.uint8) if rows.keys else torch.empty(0)
    tensors = {
        "keys": keys.to(torch.uint8).reshape(len(rows.keys), KEY_BYTES),
        "tokens": rows.tokens,
        "vectors": rows.vectors,
    }
    aside = folder / f".{FILE}-{os.getpid()}"
    try:
        save_file(tensors, aside, {VERSION: engine.version})
        aside.replace(folder / FILE)
    except OSError as error:
        raise WeightsError(f"{folder / FILE}: {error}; free some disk space or use another folder") from error
    finally:
        aside.unlink(missing_ok=True)
    return len(rows.keys)


def read_vectors(path: Path, version: str, hidden: int, width: int) -> ItemRows:
    """Read the rows in `path` for the engine named `version`. Raises `WeightsError` with the reason."""
    again = "items are read instead; write the file again with this version"
    try:
        with safe_open(path, "pt") as file:
            wrote = (file.metadata() or {}).get(VERSION, "an unknown version")
            if wrote != version:
                raise WeightsError(f"{path} belongs to {wrote}, not to {version}; {again}")
            keys, tokens, vectors = (file.get_tensor(name) for name in ("keys", "tokens", "vectors"))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); {again}") from None
    count = keys.shape[0] if keys.dim() == 2 else 0
    shapes = (tuple(keys.shape), tuple(tokens.shape), tuple(vectors.shape))
    if shapes != ((count, KEY_BYTES), (count, hidden), (count, width)) or keys.dtype != torch.uint8:
        raise WeightsError(f"{path} has tensors of other shapes ({shapes}); {again}")
    if not (torch.isfinite(tokens).all() and torch.isfinite(vectors).all()):
        raise WeightsError(f"{path} has numbers that are not finite; {again}")
    packed = keys.numpy().tobytes()
    named = [packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES)]
    if len(set(named)) != count:
        raise WeightsError(f"{path} has an item twice; {again}")
    return ItemRows(named, tokens.float(), vectors.float())


def _computed(engine: "ItemTokenEngine", items: Sequence[Candidate], progress: Count) -> ItemRows:
    seen: set[bytes] = set()
    parts: list[ItemRows] = []
    done = 0
    for some in _split(items):
        rows = engine.rows(some)
        new = [place for place, key in enumerate(rows.keys) if key not in seen]
        seen.update(rows.keys)
        parts.append(ItemRows([rows.keys[place] for place in new], rows.tokens[new].cpu(), rows.vectors[new].cpu()))
        done += len(some)
        progress(done, len(items))
    engine.save()
    return ItemRows(
        [key for part in parts for key in part.keys],
        torch.cat([part.tokens for part in parts]),
        torch.cat([part.vectors for part in parts]),
    )


def _split(items: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    """Runs of `_TOGETHER` items; one empty run without items, which gives the tensors their shapes."""
    for begin in range(0, max(1, len(items)), _TOGETHER):
        yield items[begin : begin + _TOGETHER]
