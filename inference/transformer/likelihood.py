"""The likelihoods of continuations: how probable a language model finds each of several texts after a prompt.

Several prompts, each with its candidates, go through one packed pass (`inference.transformer.packing`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.transformer.attention import Pass, PrefixState, group, mask
from inference.transformer.packing import Part

Floats = NDArray[np.float64]


class Likelihoods:
    """Runs passes of a transformers `decoder` that was loaded with `inference.transformer.attention.IMPLEMENTATION`.

    `head` turns its last hidden states into logits.
    """

    def __init__(self, decoder: Any, head: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.decoder, self._head = decoder, head
        weight = decoder.embed_tokens.weight
        self._dtype, self._device = weight.dtype, weight.device

    @torch.inference_mode()
    def run(
        self,
        parts: Sequence[Part],
        starts: Sequence[PrefixState | None],
        pause: Callable[[], None] | None = None,
    ) -> tuple[list[Floats], Pass]:
        """The log-likelihood of each candidate, float64 [candidates] for each part: the sum over its tokens. And the
        pass, which has the states of the prefixes.

        `starts` has the cached state that each part begins after. `pause` is called before each layer; an exception
        from it ends the pass.
        """
        layouts = [part.layout for part in parts]
        masks = [mask(layout, group(self.decoder.config), self._dtype, self._device) for layout in layouts]
        packed = Pass(layouts, masks, starts, pause)
        # `packed` has the real masks; the zero keeps transformers from making one.
        hidden = self.decoder(
            input_ids=self._tensor([part.ids for part in parts]).unsqueeze(0),
            position_ids=self._tensor([layout.positions for layout in layouts]).unsqueeze(0),
            attention_mask=torch.zeros(1, 1, 1, 1, device=self._device),
            use_cache=False,
            packed=packed,
        ).last_hidden_state[0]
        return self._sums(hidden, parts), packed

    def _sums(self, hidden: torch.Tensor, parts: Sequence[Part]) -> list[Floats]:
        """Logits are computed only at rows that predict a token."""
        begins = np.cumsum([0, *(part.layout.rows for part in parts)])
        predictors = np.concatenate([part.predictors + at for part, at in zip(parts, begins, strict=False)])
        targets = self._tensor([part.targets for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        rows, inverse = np.unique(predictors, return_inverse=True)
        logits = self._head(hidden[self._tensor([rows])]).float()
        at = self._tensor([inverse])
        likelihood = (logits[at, targets] - logits.logsumexp(-1)[at]).cpu().numpy()
        owner = np.repeat(np.arange(len(lengths)), lengths)
        sums = np.bincount(owner, weights=likelihood, minlength=len(lengths))
        return np.split(sums, np.cumsum([len(part.lengths) for part in parts])[:-1])

    def _tensor(self, arrays: Sequence[NDArray[np.int64]]) -> torch.Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(self._device)
