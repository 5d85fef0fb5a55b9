"""Training on lists, scored as in serving: which candidate does the user take next?

A list has the true next like, hard negatives drawn from the model's own top items, and random negatives. The loss is
the softmax over the list plus half the binary cross-entropy of each candidate. It trains the correction, the candidate
token and, slowly, LoRA; item vectors and item tokens stay fixed.

Lists that were shown to users are read too. Their entries that were not taken have the binary loss alone, each weighted
by 1 over the probability with which it was shown, at most 10. There is no softmax over them, since it is unknown which
the user would have preferred.
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
from inference.training.impressions import NO_IMPRESSIONS, Impressions
from inference.training.network import ItemTokenNetwork
from inference.training.packed import Lists, gather
from inference.training.trainer import LEFT_OUT, Report
from inference.training.validation import answers, new_likes, scored
from inference.training.walk_forward import Bools, Floats


class ListRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hyperparameters for training on lists. `count`: lists per epoch, `untaken`: shown lists per epoch, both at most.
    `pool`: hard negatives come from this many top items."""

    count: Annotated[int, Meta(ge=1)] = 2_048
    untaken: Annotated[int, Meta(ge=0)] = 2_048
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

    def __init__(
        self,
        network: ItemTokenNetwork,
        histories: Histories,
        recipe: ListRecipe,
        seed: int,
        shown: Impressions = NO_IMPRESSIONS,
    ) -> None:
        self.network = network
        self._shown = shown
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
        """One epoch over lists drawn from the likes among the first `cut` events, from `since` on, and over the shown
        lists that closed in that time. Returns the mean loss of the former in nats; 0 without likes, where nothing is
        learned. Raises `TrainingDiverged`."""
        asked = new_likes(self._histories, since, cut)
        asked = asked[known[self._histories.item[asked]] & (self._histories.weight[asked] > 0)]
        asked = np.sort(self.rng.permutation(asked)[: self._recipe.count])
        if not len(asked):
            return 0.0
        said = answers(self.network, known, self._histories, asked)
        found = list(scored(said, self._histories, asked))
        places, lists = draw(found, self._histories, known, self._recipe, self.rng)
        order = self.rng.permutation(len(places))
        told = torch.from_numpy(known).to(self.network.device)
        likes = _batches(order, self._recipe.batch)
        untaken = _batches(self._drawn(since, cut), self._recipe.batch)
        steps: list[Ints | None] = [*likes, *(None for _ in untaken)]  # None: the next of `untaken`
        if untaken:
            steps = [steps[at] for at in self.rng.permutation(len(steps)).tolist()]
        done, losses = 0, 0.0
        self.network.module.train()
        for at, rows in enumerate(steps, 1):
            if rows is None:
                self._step(self.untaken_loss(untaken.pop(), told))
            else:
                some = gather(self._histories, places[rows], [lists[row] for row in rows.tolist()])
                losses, done = losses + self._step(self.loss(some.to(self.network.device), told)), done + 1
            report(at, len(steps), losses / max(1, done))
        return losses / len(likes)

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

    def untaken_loss(self, some: Ints, known: Tensor) -> Tensor:
        """The weighted mean binary loss of what the lists `some` showed in vain."""
        shown = self._shown
        items, rows = [shown.items[at] for at in some.tolist()], [shown.weights[at] for at in some.tolist()]
        given = gather(self._histories, shown.place[some], items, shown.history[some]).to(self.network.device)
        weights = torch.zeros(given.real.shape)
        for row, one in enumerate(rows):
            weights[row, : len(one)] = torch.from_numpy(one)
        weights = weights.to(self.network.device)
        logits, corrections = self.network.packed(given, known)
        scores = logits + corrections + self.network.level
        each = functional.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores), reduction="none")
        return self._recipe.binary * (each * weights).sum() / weights.sum()

    def _drawn(self, since: int, cut: int) -> Ints:
        ts = self._histories.ts
        some = self._shown.between(int(ts[since]) if since else 0, int(ts[cut - 1]))
        return self.rng.permutation(some)[: self._recipe.untaken] if len(some) else some

    def _step(self, loss: Tensor) -> float:
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


def _batches(rows: Ints, size: int) -> list[Ints]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]
