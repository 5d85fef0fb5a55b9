"""A user's context: the instruction's tokens, then one item token per event. Pure.

    What will this person like next?        the instruction, as text tokens
    [item] [item] [item]                    one token per event of the history, oldest first

The context's vector is the state at the last token. Each candidate is one token right after the context. The scene
selects the history; neither its name nor steer sentences are among the tokens, since training data has none to learn
them from.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.item_tokens.heads import INSTRUCTION, feeling_rows, gap_buckets
from inference.transformer.tokenizer import Tokens
from schemas.scoring import Past

VERSION = "c2"
"""Part of every version that depends on contexts, since contexts change the scores."""


def instruction(tokens: Tokens) -> tuple[int, ...]:
    """The token ids that every context begins with: at least one."""
    return tokens.control(INSTRUCTION)


def feelings(history: Sequence[Past]) -> NDArray[np.int64]:
    """The user's feeling about each event's item, as rows of the embedding."""
    return feeling_rows(np.array([past.feeling for past in history], np.int64))


def gaps(history: Sequence[Past]) -> NDArray[np.int64]:
    """The bucket of the time since the previous event, for each event. The first event, and events without a time,
    count as having no previous event."""
    times = np.array([past.ts if past.ts > 0 else np.nan for past in history], np.float64)
    return gap_buckets(np.diff(times, prepend=np.nan) / 1000)
