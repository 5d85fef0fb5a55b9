"""The trunk: the first layers of a language model as a separate model, which reads and scores item tokens."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from inference.errors import WeightsError
from inference.item_tokens.lora import merge


def cut(decoder: Any, layers: int) -> Any:
    """The first `layers` of a transformers decoder, with its embeddings and its last norm.

    The weights are shared with `decoder`, which is not changed. Raises `WeightsError` if it has fewer layers.
    """
    if layers > len(decoder.layers):
        raise WeightsError(
            f"the adapter needs {layers} layers, but the language model has {len(decoder.layers)}; "
            "use the adapter with the model that it was trained on"
        )
    found = copy.copy(decoder)
    found._modules = dict(decoder._modules)
    found.config = copy.deepcopy(decoder.config)
    found.config.num_hidden_layers = layers
    found.layers = nn.ModuleList(list(decoder.layers)[:layers])
    return found


def adapted(decoder: Any, layers: int, lora: Mapping[str, Tensor]) -> Any:
    """The first `layers` of `decoder` with `lora` merged in. Their weights are copies: `decoder` is not changed."""
    found = cut(decoder, layers)
    found.layers = copy.deepcopy(found.layers)
    merge(found, lora)
    return found


def embedding_scale(decoder: Any) -> float:
    """The root mean square of the language model's token embeddings."""
    return float(decoder.embed_tokens.weight.float().pow(2).mean().sqrt())


def states(trunk: Any, embeddings: Tensor, positions: Tensor, attention: Any) -> Tensor:
    """The last hidden states, after the last norm: [rows, H] of [rows, H].

    `attention` has the method `attend` that `inference.transformer.attention.packed_attention` calls; `trunk` must be
    loaded with that implementation.
    """
    # `packed` has the real masks; the zero keeps transformers from making one.
    found: Tensor = trunk(
        inputs_embeds=embeddings.unsqueeze(0),
        position_ids=positions.unsqueeze(0),
        attention_mask=torch.zeros(1, 1, 1, 1, device=embeddings.device),
        use_cache=False,
        packed=attention,
    ).last_hidden_state[0]
    return found
