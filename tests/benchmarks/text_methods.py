"""Scoring a list from its text: candidate by candidate, in padded batches, or packed; and what each costs."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from inference.settings import DType, ModelSettings
from inference.transformer.flops import flops
from inference.transformer.number_format import fastest
from inference.transformer.packing import Prompt, lay, pack
from inference.transformer.weights import load_model

NAIVE, PADDED, PACKED = "naive", "padded", "packed"
KEPT_BEFORE = ", kept"


def naive(model: Any, prompt: Prompt, candidates: int) -> list[float]:
    """The mean token log-likelihoods of the first `candidates`, in one pass each."""
    return [padded(model, Prompt(prompt.prefix, prompt.stable, (one,)), 1)[0] for one in prompt.candidates[:candidates]]


@torch.inference_mode()
def padded(model: Any, prompt: Prompt, candidates: int) -> list[float]:
    """The mean token log-likelihoods of the first `candidates`, in one batch of padded rows."""
    chosen = prompt.candidates[:candidates]
    head = model.get_output_embeddings()
    device = head.weight.device
    width = len(prompt.prefix) + max(map(len, chosen)) - 1
    ids = torch.zeros(len(chosen), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, candidate in enumerate(chosen):
        tokens = torch.tensor((*prompt.prefix, *candidate[:-1]))
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    lengths = torch.tensor([len(candidate) for candidate in chosen])
    owner = torch.repeat_interleave(torch.arange(len(chosen)), lengths)
    column = torch.cat([torch.arange(len(candidate)) for candidate in chosen]) + len(prompt.prefix) - 1
    targets = torch.tensor([token for candidate in chosen for token in candidate], device=device)
    hidden = model.base_model(
        input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
    ).last_hidden_state
    logits = head(hidden[owner.to(device), column.to(device)]).float()
    likelihood = logits.gather(1, targets.unsqueeze(1)).squeeze(1) - logits.logsumexp(-1)
    sums = torch.zeros(len(chosen)).index_add_(0, owner, likelihood.cpu())
    found: list[float] = (sums / lengths).tolist()
    return found


def text_cost(config: Any, prompt: Prompt, kept: int) -> dict[str, tuple[int, int]]:
    """Tokens and FLOPs of a list for each text method, with `kept` cached tokens of the prefix."""
    layers, width = config.num_hidden_layers, len(prompt.prefix) + max(map(len, prompt.candidates)) - 1
    lengths = [len(prompt.prefix) + len(one) - 1 for one in prompt.candidates]
    alone = [flops(config, layers, lay(n, []), len(c)) for n, c in zip(lengths, prompt.candidates, strict=True)]
    row = flops(config, layers, lay(width, []))
    predicted = sum(map(len, prompt.candidates))
    packed = {PACKED: pack(prompt, 0), PACKED + KEPT_BEFORE: pack(prompt, kept)}
    return {
        NAIVE: (sum(lengths), sum(alone)),
        PADDED: (width * len(lengths), row * len(lengths) + 2 * predicted * config.vocab_size * config.hidden_size),
        **{
            name: (part.layout.rows, flops(config, layers, part.layout, len(np.unique(part.predictors))))
            for name, part in packed.items()
        },
    }


def fastest_naive(weights: Path, settings: ModelSettings, prompt: Prompt) -> tuple[Any, DType]:
    """The transformers model in the fastest format for naive scoring on this processor, and that format."""
    models = {
        dtype: load_model(weights, msgspec.structs.replace(settings, dtype=dtype), "sdpa")
        for dtype in (DType.BF16, DType.FP32)
    }
    for model in models.values():
        naive(model, prompt, 1)  # warm-up
    took = fastest({dtype: partial(naive, model, prompt, 1) for dtype, model in models.items()})
    best = min(took, key=lambda dtype: took[dtype])
    return models[best], best
