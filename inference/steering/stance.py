"""The state in which the language model is about to say whether a sentence asks for more or for less.

It follows a few examples, whose keys and values are read once, the sentence, and the question. What the state says is
learned from pairs (`inference.steering.interpreter`): the model's own word for it is right less often.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.item_tokens.trunk import cut
from inference.transformer.attention import Pass, PrefixState, group, mask
from inference.transformer.packing import lay
from inference.transformer.tokenizer import Tokens, clean

Pause = Callable[[], None] | None

EXAMPLES = (
    'Wish: "no more spicy dishes please". Wants: less\n'
    'Wish: "I feel like jazz tonight". Wants: more\n'
    'Wish: "I am tired of politicians". Wants: less\n'
    'Wish: "a book that teaches me to bake". Wants: more\n'
    'Wish: "'
)
ASK = '". Wants:'
MAX_TOKENS = 32
"""Of a sentence."""

_PASS_TOKENS = 256


class Stances:
    """Reads sentences with the first `layers` of a `decoder` that was loaded with
    `inference.transformer.attention.IMPLEMENTATION`. Not thread-safe."""

    def __init__(self, decoder: Any, tokens: Tokens, layers: int) -> None:
        self._trunk = cut(decoder, layers)
        self._tokens = tokens
        self._opening = tokens.control(EXAMPLES)
        self._ask = tokens.control(ASK)
        self._start: PrefixState | None = None
        weight = decoder.embed_tokens.weight
        self._dtype, self._device = weight.dtype, weight.device
        self.hidden: int = weight.shape[1]

    @torch.inference_mode()
    def read(self, texts: Sequence[str], pause: Pause = None) -> NDArray[np.float64]:
        """The state after each text and the question, float64 [texts, hidden]. `pause` is called before each layer."""
        if self._start is None:
            _, passed = self._run([self._opening], 0, None, pause)
            self._start = passed.state(0, self._opening)
        asked = [(*self._opening, *self._tokens.data(clean(text))[:MAX_TOKENS], *self._ask) for text in texts]
        found = np.zeros((len(texts), self.hidden))
        at = 0
        for run in _runs(asked, len(self._opening)):
            hidden, _ = self._run(run, len(self._opening), self._start, pause)
            ends = np.cumsum([len(each) - len(self._opening) for each in run]) - 1
            found[at : at + len(run)] = hidden[torch.from_numpy(ends)].float().cpu().numpy()
            at += len(run)
        return found

    def _run(
        self, asked: Sequence[tuple[int, ...]], kept: int, start: PrefixState | None, pause: Pause
    ) -> tuple[torch.Tensor, Pass]:
        """The last hidden states of what follows the `kept` tokens, and the pass."""
        layouts = [lay(len(each), (), kept, 0 if kept else len(each)) for each in asked]
        masks = [mask(layout, group(self._trunk.config), self._dtype, self._device) for layout in layouts]
        packed = Pass(layouts, masks, [start] * len(layouts), pause)
        ids = np.concatenate([np.array(each[kept:], np.int64) for each in asked])
        positions = np.concatenate([layout.positions for layout in layouts])
        # `packed` has the real masks; the zero keeps transformers from making one.
        hidden = self._trunk(
            input_ids=torch.from_numpy(ids).to(self._device).unsqueeze(0),
            position_ids=torch.from_numpy(positions).to(self._device).unsqueeze(0),
            attention_mask=torch.zeros(1, 1, 1, 1, device=self._device),
            use_cache=False,
            packed=packed,
        ).last_hidden_state[0]
        return hidden, packed


def _runs(asked: Sequence[tuple[int, ...]], kept: int) -> Iterator[list[tuple[int, ...]]]:
    """What is asked, in order, split so that a pass has about `_PASS_TOKENS` new tokens."""
    run: list[tuple[int, ...]] = []
    rows = 0
    for each in asked:
        if run and rows + len(each) - kept > _PASS_TOKENS:
            yield run
            run, rows = [], 0
        run.append(each)
        rows += len(each) - kept
    if run:
        yield run
