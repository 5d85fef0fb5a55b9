"""What one person's context is made of: the instruction's tokens, then one item token an event. Pure.

    What will this person like next?        our instruction, as text tokens
    [item] [item] [item]                    one token a thing of the history, oldest first

The context's vector is read at the last of these. Each candidate is one token right after them. The scene decides which
history this is; neither its name nor a steer sentence is among the tokens, since training has none to learn them from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.item_tokens.heads import INSTRUCTION, feeling_rows, gap_buckets
from inference.transformer.tokenizer import Tokens
from schemas.scoring import Past

VERSION = "c2"
"""Part of every version that depends on contexts: other contexts give other scores."""


def instruction(tokens: Tokens) -> tuple[int, ...]:
    """The token ids that every context begins with: at least one."""
    return tokens.control(INSTRUCTION)


def feelings(history: Sequence[Past]) -> NDArray[np.int64]:
    """What the person thought of each thing, as rows of the embedding."""
    return feeling_rows(np.array([past.feeling for past in history], np.int64))


def gaps(history: Sequence[Past]) -> NDArray[np.int64]:
    """The bucket of the time since the thing before, for each. The first, and one without a time, as if none was."""
    times = np.array([past.ts if past.ts > 0 else np.nan for past in history], np.float64)
    return gap_buckets(np.diff(times, prepend=np.nan) / 1000)
