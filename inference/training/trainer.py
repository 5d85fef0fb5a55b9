"""Training a network in sequence: predict every event of a history from the events before it.

The loss is the softmax over item vectors, of all items or a sample of a large catalogue, restricted to items that a
list could show at that time: items that the user has met are left out. Items without any events so far are left out
too, since not being taken says nothing about them.

Evaluation and serving use the running mean of the weights instead of the last step's, since it is more stable (B. T.
Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30(4), 1992;
here with exponential weights, so that it follows a stream).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional

from inference.errors import TrainingDiverged
from inference.training.histories import Histories
from inference.training.network import Network
from inference.training.sequences import WINDOW, Batch, batch, batches, pieces

Report = Callable[[int, int, float], None]
"""Called with the batches done, the total, and the mean loss so far."""

LEFT_OUT = -1e4
"""The logit of items excluded from a softmax."""

MEAN = "mean"
"""Key of a parameter's running mean in the optimizer's state, where checkpoints include it."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hyperparameters of a training. `unliked`: the weight of events that are not likes as targets.

    Over the epochs of a first training, rates rise during the `warm_up` share, then fall to `end_rate` of the full
    rate; later trainings use `later_rate` of it. `average`: the decay of the weights' running mean per step; 0 uses the
    last weights.
    """

    batch: Annotated[int, Meta(ge=1, le=4_096)] = 16
    window: Annotated[int, Meta(ge=2, le=1_024)] = WINDOW
    head_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    lora_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    decay: Annotated[float, Meta(ge=0, le=1)] = 0.01
    unliked: Annotated[float, Meta(ge=0, le=1)] = 0.3
    warm_up: Annotated[float, Meta(gt=0, le=1)] = 0.03
    end_rate: Annotated[float, Meta(gt=0, le=1)] = 0.1
    later_rate: Annotated[float, Meta(gt=0, le=1)] = 0.5
    average: Annotated[float, Meta(ge=0, lt=1)] = 0.99
    clip: Annotated[float, Meta(gt=0)] = 1.0
    full_softmax: Annotated[int, Meta(ge=2)] = 20_000
    """Maximum items for a softmax over all of them."""
    sampled: Annotated[int, Meta(ge=1)] = 4_096
    """Number of items sampled per batch for larger catalogues."""


class Trainer:
    """Trains one network, one pass at a time. Deterministic for a seed on the same machine and number of threads.

    Besides the network, resuming needs only `optimizer`, `rng` and torch's random state.
    """

    def __init__(self, network: Network, histories: Histories, recipe: Recipe, seed: int) -> None:
        self.network = network
        self.known = np.zeros(len(histories.items), np.bool_)
        self._histories = histories
        self.recipe = recipe
        self.rng = np.random.default_rng(seed)
        rates = {"lora": recipe.lora_rate}
        decays = {"lora": 0.0}
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": rates.get(name, recipe.head_rate),
                    "weight_decay": decays.get(name, recipe.decay),
                }
                for name, parameters in network.groups()
                if parameters
            ],
            betas=(0.9, 0.98),
        )
        self._full = [group["lr"] for group in self.optimizer.param_groups]

    def learn(
        self,
        cut: int,
        *,
        since: int = 0,
        share: float = 1.0,
        again: float = 0.0,
        rate: Callable[[float], float] = lambda done: 1.0,
        report: Report = lambda done, total, loss: None,
    ) -> float:
        """One pass over the first `cut` events, or a random `share` of their pieces: those with an event from `since`
        on, and a random part `again` of the others. `rate(done)` is the factor of the full rate when `done` (0 to 1) of
        the pass is done. Returns the mean loss in nats; 0 if there was nothing to learn. Raises `TrainingDiverged`."""
        self.known = self._histories.met(cut)
        found = pieces(self._histories, cut, self.rng, since=0 if again else since, window=self.recipe.window)
        if again:
            found = [one for one in found if one.places.max() >= since or self.rng.random() < again]
        if share < 1.0:
            kept = self.rng.permutation(len(found))[: math.ceil(share * len(found))]
            found = [found[at] for at in kept.tolist()]
        total, losses = math.ceil(len(found) / self.recipe.batch), 0.0
        for at, some in enumerate(batches(found, self.recipe.batch, self.rng)):
            losses += self._step(batch(self._histories, some, self.recipe.unliked), rate(at / total))
            report(at + 1, total, losses / (at + 1))
        return losses / max(1, total)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the network has the running mean of its weights; the last ones are restored afterwards."""
        means = {parameter: mean for parameter in self._trained() if (mean := self._mean(parameter)) is not None}
        last = [parameter.detach().clone() for parameter in means]
        with torch.no_grad():
            for parameter, mean in means.items():
                parameter.copy_(mean)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(means, last, strict=True):
                    parameter.copy_(value)

    def loss(self, given: Batch) -> Tensor:
        """The weighted mean loss of a batch (see the module docstring)."""
        network = self.network
        given = given.to(network.device)
        rows, positions = torch.nonzero(given.weights > 0, as_tuple=True)
        contexts = network.contexts(given.items[:, :-1], given.feelings[:, :-1], given.gaps[:, :-1])[rows, positions]
        targets, weights = given.items[rows, positions], given.weights[rows, positions]
        known = torch.from_numpy(self.known).to(network.device)
        vectors = network.vectors(known)
        columns, expected = self._columns(targets, known)
        logits = contexts @ vectors[columns].T + expected
        met = given.met[rows][:, columns] < positions.unsqueeze(1)
        place = torch.searchsorted(columns, targets)
        losses = functional.cross_entropy(logits.masked_fill(met, LEFT_OUT), place, reduction="none")
        return (losses * weights).sum() / weights.sum()

    def _columns(self, targets: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The items of the softmax, ascending, and the log of the number of items that each represents."""
        candidates = torch.nonzero(known).squeeze(1)
        if len(candidates) <= self.recipe.full_softmax:
            return candidates, torch.zeros(len(candidates), device=candidates.device)
        drawn = torch.from_numpy(self.rng.choice(candidates.cpu().numpy(), self.recipe.sampled, replace=False))
        columns = torch.unique(torch.cat((targets, drawn.to(targets.device))))
        others = ~torch.isin(columns, targets)
        return columns, others * math.log(len(candidates) / self.recipe.sampled)

    def _step(self, given: Batch, rate: float) -> float:
        if not (given.weights > 0).any():
            return 0.0
        self.network.module.train()
        for group, full in zip(self.optimizer.param_groups, self._full, strict=True):
            group["lr"] = full * rate
        loss = self.loss(given)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingDiverged(f"the loss is {value}; train with lower rates, or check the data")
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], self.recipe.clip)
        self.optimizer.step()
        if self.recipe.average:
            self._average()
        return value

    @torch.no_grad()
    def _average(self) -> None:
        for parameter in self._trained():
            state = self.optimizer.state[parameter]
            if not state:
                continue  # it has had no gradient yet
            mean = self._mean(parameter)
            if mean is None:
                state[MEAN] = parameter.detach().clone()
            else:
                steps = float(state["step"])
                mean.lerp_(parameter, 1.0 - min(self.recipe.average, (1 + steps) / (10 + steps)))

    def _trained(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _mean(self, parameter: nn.Parameter) -> Tensor | None:
        found: Tensor | None = self.optimizer.state[parameter].get(MEAN)
        return found


def falling(recipe: Recipe, epoch: int, epochs: int) -> Callable[[float], float]:
    """The rate factor along one epoch of a first training."""

    def rate(done: float) -> float:
        overall = (epoch + done) / epochs
        return min(1.0, max(overall / recipe.warm_up, 0.01)) * (1.0 - (1.0 - recipe.end_rate) * overall)

    return rate
