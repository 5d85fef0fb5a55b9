"""How much arithmetic a pass is: what its speed is measured against."""

from typing import Any

from inference.transformer.packing import Layout


def flops(config: Any, layers: int, layout: Layout, predicted: int = 0) -> int:
    """Multiplications and additions of a pass of one person through the first `layers` of a Llama-shaped model.

    `config` is the transformers configuration; `predicted` rows meet the whole vocabulary. Only matrix products are
    counted: 2 for each weight and row, 4 for each number of a head and each pair of a row and a column that it sees.
    """
    hidden = config.hidden_size
    size = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    query, keys = config.num_attention_heads * size, config.num_key_value_heads * size
    weights = hidden * (2 * query + 2 * keys) + 3 * hidden * config.intermediate_size
    pairs = int(layout.visible.sum())
    return int(layers * (2 * layout.rows * weights + 4 * pairs * query) + 2 * predicted * config.vocab_size * hidden)
