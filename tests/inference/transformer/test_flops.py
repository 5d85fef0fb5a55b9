"""The FLOP count of a pass, compared with torch's counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inference.transformer.flops import flops
from inference.transformer.packing import lay
from tests.support import tiny_model as tiny


@pytest.mark.parametrize("predicted", [0, 3])
def test_flops_match_the_count_of_torch(predicted: int) -> None:
    model = tiny.model()
    model.set_attn_implementation("eager")
    rows = 7
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hidden = model.base_model(input_ids=torch.zeros(1, rows, dtype=torch.int64), use_cache=False)
        if predicted:
            model.lm_head(hidden.last_hidden_state[0, :predicted])
    layout = lay(rows, [])
    # torch also counts masked pairs and the rotary angles.
    unseen = rows * rows - int(layout.visible.sum())
    assert model.config.head_dim is not None
    turned = 2 * rows * model.config.head_dim // 2
    expected = counter.get_total_flops() - 2 * 4 * unseen * 32 - turned
    assert flops(model.config, 2, layout, predicted) == expected
