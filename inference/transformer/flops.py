"""The FLOP count of a pass, for comparing its speed with the hardware's."""

from typing import Any

from inference.transformer.packing import Layout


def flops(config: Any, layers: int, layout: Layout, predicted: int = 0) -> int:
    """The FLOPs of one user's pass through the first `layers` layers of a Llama-like model.

    `config` is the transformers configuration; `predicted` rows get logits over the whole vocabulary. Counts matrix
    products only: 2 per weight and row, 4 per number of a head and visible pair of a row and a column.
    """
    hidden = config.hidden_size
    size = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    query, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    weights = hidden * (2 * query + 2 * keys) + 3 * hidden * config.intermediate_size
    pairs = int(layout.visible.sum())
    return int(layers * (2 * layout.rows * weights + 4 * pairs * query) + 2 * predicted * config.vocab_size * hidden)
