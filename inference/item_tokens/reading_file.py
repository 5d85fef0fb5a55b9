"""Readings kept in a file between runs, for training and evaluation: a catalogue is read once for each base model."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.item_tokens.reading import Progress, Reader, digest

_DIGESTS = "digests"
_READINGS = "readings"


def read_through(
    folder: Path, reader: Reader, texts: Sequence[str], progress: Progress = lambda done, total: None
) -> Tensor:
    """Readings of `texts` as `Reader.read` gives them. Those that `folder` lacks are read, and kept there.

    The file is named for the reader's version: other weights or another way of reading never mix. It only grows; remove
    the folder to be rid of it. Raises `OSError` where the folder cannot be written.
    """
    path = folder / f"readings-{reader.version}.safetensors"
    keys = [digest(text) for text in texts]
    places, kept = _load(path, (len(reader.depths), reader.hidden))
    lacking = {key: text for key, text in zip(keys, texts, strict=True) if key not in places}
    if lacking:
        fresh = reader.read(list(lacking.values()), progress)
        places |= {key: len(places) + at for at, key in enumerate(lacking)}
        kept = torch.cat((kept, fresh))
        _write(path, list(places), kept)
    progress(len(texts), len(texts))
    return kept[[places[key] for key in keys]]


def _load(path: Path, shape: tuple[int, int]) -> tuple[dict[bytes, int], Tensor]:
    """The row of each digest, and the rows. Nothing where there is no such file, or one that is not ours."""
    try:
        found = load_file(path)
        rows = [bytes(row) for row in found[_DIGESTS].numpy()]
        kept = found[_READINGS]
    except (OSError, SafetensorError, KeyError):
        return {}, torch.empty(0, *shape)
    if kept.shape != (len(rows), *shape):
        return {}, torch.empty(0, *shape)
    return {row: at for at, row in enumerate(rows)}, kept


def _write(path: Path, digests: Sequence[bytes], readings: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    marks = torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(len(digests), -1)
    try:
        save_file({_DIGESTS: marks, _READINGS: readings}, aside)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
