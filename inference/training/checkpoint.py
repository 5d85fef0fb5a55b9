"""Training checkpoints: a folder written atomically after each epoch.

FOLDER/0007/tensors.safetensors     the network, its best state so far, torch's random state
FOLDER/0007/optimizer.pt            saved by torch, loaded with weights_only
FOLDER/0007/progress.json           the caller's progress, numpy's random state, and the mark of the training
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from inference.errors import CheckpointError

TENSORS, OPTIMIZER, PROGRESS = "tensors.safetensors", "optimizer.pt", "progress.json"
T = TypeVar("T")
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint(Generic[T]):
    """A loaded checkpoint: `done` is the caller's progress; `restore` restores the rest."""

    done: T
    best: State
    network: State
    optimizer: dict[str, Any]
    numpy: dict[str, Any]
    torch: State

    def restore(self, network: nn.Module, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Restore the network, the optimizer and the random states."""
        network.load_state_dict(dict(self.network))
        optimizer.load_state_dict(self.optimizer)
        rng.bit_generator.state = self.numpy
        torch.set_rng_state(self.torch["cpu"])
        if "cuda" in self.torch and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.torch["cuda"])


class Checkpoints(Generic[T]):
    """The checkpoints of one training; only the newest is kept. `mark` identifies the data, options and weights:
    checkpoints with another mark are refused."""

    def __init__(self, folder: Path, mark: str, kind: type[T]) -> None:
        self.folder = folder
        self._mark = mark
        self._kind = kind

    def save(self, done: T, network: nn.Module, best: State, optimizer: Optimizer, rng: np.random.Generator) -> None:
        """Write a checkpoint. Raises `CheckpointError` if it cannot be written."""
        number = max(self._numbers(), default=0) + 1
        aside = self.folder / f".{number:04}-{os.getpid()}"
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        tensors["torch.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["torch.cuda"] = torch.cuda.get_rng_state()
        state = {
            "mark": self._mark,
            "done": json.loads(msgspec.json.encode(done)),
            "numpy": rng.bit_generator.state,
        }
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, aside / TENSORS)
            torch.save(optimizer.state_dict(), aside / OPTIMIZER)
            (aside / PROGRESS).write_text(json.dumps(state), encoding="utf-8")
            aside.rename(self.folder / f"{number:04}")
        except OSError as error:
            raise CheckpointError(f"{self.folder}: {error}; free some disk space or use another folder") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        for older in self._numbers():
            if older < number:
                shutil.rmtree(self.folder / f"{older:04}", ignore_errors=True)

    def load(self) -> Checkpoint[T] | None:
        """Load the newest checkpoint, or None. Raises `CheckpointError` for one of another training."""
        number = max(self._numbers(), default=0)
        if not number:
            return None
        folder = self.folder / f"{number:04}"
        try:
            state = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
            found = load_file(folder / TENSORS)
            optimizer = torch.load(folder / OPTIMIZER, weights_only=True)
            done = msgspec.convert(state["done"], self._kind)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{folder} cannot be read ({error}); remove {self.folder} and start over") from None
        if state["mark"] != self._mark:
            raise CheckpointError(
                f"{self.folder} belongs to another training, with other data, options or weights. Use the options of "
                "that training, or start over without --resume"
            )
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "torch": {}}
        for name, tensor in found.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        return Checkpoint(done, parts["best"], parts["network"], optimizer, state["numpy"], parts["torch"])

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return [int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()]
