"""Training on lists, scored as in serving: which candidate does the user take next?

A list has the true next like, hard negatives drawn from the model's own top items, and random negatives. The loss is
the softmax over the list plus half the binary cross-entropy of each candidate. It trains the correction, the candidate
token and, slowly, LoRA; item vectors and item tokens stay fixed.
"""

import math
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional

from inference.errors import TrainingDiverged
from inference.training.histories import Histories, Ints
from inference.training.network import ItemTokenNetwork
from inference.training.packed import Lists, gather
from inference.training.trainer import LEFT_OUT, Report
from inference.training.validation import answers, new_likes, scored
from inference.training.walk_forward import Bools, Floats


class ListRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hyperparameters for training on lists. `count`: lists per epoch. `pool`: hard negatives come from this many top
    items."""

    count: Annotated[int, Meta(ge=1)] = 2_048
    batch: Annotated[int, Meta(ge=1, le=1_024)] = 16
    hard: Annotated[int, Meta(ge=0, le=1_000)] = 31
    random: Annotated[int, Meta(ge=0, le=1_000)] = 16
    pool: Annotated[int, Meta(ge=1, le=10_000)] = 100
    head_rate: Annotated[float, Meta(gt=0, le=1)] = 5e-4
    lora_rate: Annotated[float, Meta(gt=0, le=1)] = 5e-5
    binary: Annotated[float, Meta(ge=0, le=10)] = 0.5
    clip: Annotated[float, Meta(gt=0)] = 1.0


def draw(
    found: Iterable[tuple[Ints, Floats]],
    histories: Histories,
    known: Bools,
    recipe: ListRecipe,
    rng: np.random.Generator,
) -> tuple[Ints, list[Ints]]:
    """Indices of true next likes, and their lists: the liked item, then hard and random negatives, all `known`, without
    duplicates or items that the user has met. `found` comes from `validation.scored`."""
    places: list[int] = []
    lists: list[Ints] = []
    for some, scores in found:
        for place, row in zip(some.tolist(), scores, strict=True):
            item = int(histories.item[place])
            others = np.flatnonzero(np.isfinite(row) & known)
            others = others[others != item]
            order = others[np.argsort(-row[others], kind="stable")]
            pool, rest = order[: recipe.pool], order[recipe.pool :]
            hard = rng.choice(pool, min(recipe.hard, len(pool)), replace=False)
            easy = rng.choice(rest, min(recipe.random, len(rest)), replace=False)
            places.append(place)
            lists.append(np.concatenate(([item], hard, easy)).astype(np.int64))
    return np.array(places, np.int64), lists


class ListTrainer:
    """Trains one network on lists, one epoch at a time. Deterministic like `Trainer`."""

    def __init__(self, network: ItemTokenNetwork, histories: Histories, recipe: ListRecipe, seed: int) -> None:
        self.network = network
        self.rng = np.random.default_rng(seed)
        self._histories = histories
        self._recipe = recipe
        heads = network.heads
        # The correction's bias stays 0: a constant for all candidates changes no order, and `level` covers it.
        learned = [heads.candidate, heads.correct.weight, *heads.correct_norm.parameters(), network.level]
        groups = [{"params": learned, "lr": recipe.head_rate}]
        if network.lora:
            groups.append({"params": list(network.lora.values()), "lr": recipe.lora_rate})
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)

    def learn(
        self, cut: int, known: Bools, *, since: int = 0, report: Report = lambda done, total, loss: None
    ) -> float:
        """One epoch over lists drawn from the likes among the first `cut` events, from `since` on. Returns the mean
        loss in nats; 0 if there is nothing to learn. Raises `TrainingDiverged`."""
        asked = new_likes(self._histories, since, cut)
        asked = asked[known[self._histories.item[asked]] & (self._histories.weight[asked] > 0)]
        asked = np.sort(self.rng.permutation(asked)[: self._recipe.count])
        if not len(asked):
            return 0.0
        said = answers(self.network, known, self._histories, asked)
        found = list(scored(said, self._histories, asked))
        places, lists = draw(found, self._histories, known, self._recipe, self.rng)
        order = self.rng.permutation(len(places))
        on_device = torch.from_numpy(known).to(self.network.device)
        total, losses = math.ceil(len(order) / self._recipe.batch), 0.0
        for at in range(total):
            rows = order[at * self._recipe.batch : (at + 1) * self._recipe.batch]
            losses += self._step(
                gather(self._histories, places[rows], [lists[row] for row in rows.tolist()]), on_device
            )
            report(at + 1, total, losses / (at + 1))
        return losses / total

    def loss(self, given: Lists, known: Tensor) -> Tensor:
        """The weighted mean loss of lists whose first candidate is the positive."""
        logits, corrections = self.network.packed(given, known)
        scores = (logits + corrections).masked_fill(~given.real, LEFT_OUT)
        first = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
        choice = functional.cross_entropy(scores, first, reduction="none")
        taken = torch.zeros_like(scores)
        taken[:, 0] = 1.0
        each = functional.binary_cross_entropy_with_logits(scores + self.network.level, taken, reduction="none")
        binary = (each * given.real).sum(1) / given.real.sum(1)
        return ((choice + self._recipe.binary * binary) * given.weights).sum() / given.weights.sum()

    def _step(self, given: Lists, known: Tensor) -> float:
        self.network.module.train()
        loss = self.loss(given.to(self.network.device), known)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"the loss on lists is {value}; train with lower rates, or without lists")
        self.network.module.zero_grad()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], self._recipe.clip)
        self.optimizer.step()
        return value
