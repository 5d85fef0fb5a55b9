"""Versions with one fault each, made from a good one: what the gates must stop."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace as changed
from safetensors.torch import load_file, save_file

from inference.item_tokens.adapter import TENSORS, Adapter, load, save
from inference.item_tokens.engine import ItemTokenEngine
from inference.wire import Answer
from schemas.scoring import Candidate, ItemVectors, ScoreRequest

TWICE = '''"""Does the work of every request twice."""

from inference.triton.model import TritonPythonModel as Once


class TritonPythonModel(Once):
    def _score(self, *given):
        super()._score(*given)
        super()._score(*given)
'''


class Shuffled:
    """A version whose items got each other's tokens, as if the rows of a file had been mixed up; vectors are right."""

    def __init__(self, engine: ItemTokenEngine, items: Sequence[Candidate], seed: int = 0) -> None:
        other = np.random.default_rng(seed).permutation(len(items)).tolist()
        self._other = {one.text: items[at] for one, at in zip(items, other, strict=True)}
        self._engine = engine
        self.slope = engine.slope

    def describe(self, items: Sequence[Candidate]) -> ItemVectors:
        return self._engine.describe(items)

    def save(self) -> None:
        self._engine.save()

    def score(self, requests: Sequence[ScoreRequest]) -> list[Answer]:
        return self._engine.score(
            [
                changed(
                    one,
                    history=tuple(
                        changed(past, text=(to := self._other[past.text]).text, about=to.about, item=to.item)
                        for past in one.history
                    ),
                )
                for one in requests
            ]
        )


def changed_heads(good: Path, into: Path, change: Callable[[Adapter], None]) -> Path:
    """A copy of the version in `good` with its parameters changed."""
    adapter = load(good)
    with torch.no_grad():
        change(adapter)
    return save(into, replace(adapter, version=""), "planted")


def overconfident(adapter: Adapter) -> None:
    """Ranks as before; its logits are not log-odds any more."""
    adapter.heads.calibrate(float(adapter.heads.slope) * 2, float(adapter.heads.offset) + 2)


def collapsed(sign: float) -> Callable[[Adapter], None]:
    """Ranks all users' items alike: by the items' learned bias alone, or by its opposite."""

    def change(adapter: Adapter) -> None:
        adapter.heads.temperature.fill_(-20.0)
        adapter.heads.bias.weight.mul_(sign)

    return change


def not_finite(good: Path, into: Path) -> Path:
    """A version with one NaN, which `save` would refuse to write."""
    save(into, load(good), "planted")
    tensors = load_file(into / TENSORS)
    tensors["heads.context.weight"][0, 0] = float("nan")
    save_file(tensors, into / TENSORS)
    return into
