"""The learner of an evaluation."""

from typing import Any

import numpy as np
import pytest

from inference.item_tokens.adapter import Adapter
from inference.training.learner import Learner
from inference.training.walk_forward import Pace
from tests.support import tiny_model as tiny
from tests.support import training_world as world

PACES: dict[Any, Pace] = {part: Pace(first=1, fresh=0, again=0.0) for part in ("text", "tower", "sasrec")}


class Base(world.Base):
    """Notes what networks start from."""

    def __init__(self) -> None:
        self.starts: list[Adapter | None] = []

    def use_threads(self) -> None:
        pass

    def network(self, told, *, rank, start=None, **given):
        self.starts.append(start)
        return super().network(told, rank=4, start=start, **given)


@pytest.mark.parametrize("begun", [None, tiny.adapter(items=(world.ITEMS[0], "b"))])
def test_scorer_starts_from_heads_and_lora_but_not_from_single_items(begun: Adapter | None) -> None:
    base, histories = Base(), world.histories(8)
    learner = Learner(base, world.READINGS, paces=PACES, epochs=dict.fromkeys(PACES, 1), start=begun)  # type: ignore[arg-type]
    network, _ = learner._network("scorer")
    assert network.residuals is not None  # type: ignore[attr-defined]
    fresh = Learner(base, world.READINGS, paces=PACES, epochs=dict.fromkeys(PACES, 1))._network("scorer")[0]  # type: ignore[arg-type]
    (start, _) = base.starts
    if begun is None:
        assert start is None
        return
    assert start is not None
    assert not start.items
    assert np.array_equal(network.heads.mean, begun.heads.mean)  # type: ignore[attr-defined]
    assert not np.array_equal(network.heads.mean, fresh.heads.mean)  # type: ignore[attr-defined]
    for name, value in begun.lora.items():
        assert np.array_equal(network.lora[name].detach(), value)  # type: ignore[attr-defined]
    (read,) = learner.walk("scorer", [histories], [len(histories) // 2], lambda *_: None)
    assert read.scores(len(histories) - 1) is not None
