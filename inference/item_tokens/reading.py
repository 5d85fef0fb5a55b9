"""What the language model makes of an item's text: its reading. It depends on the base weights and the text only.

A reading is the mean of the hidden states over the tokens of the text, after each of two layers. The text stands alone
after one opening token, which is left out of the mean: the first token of a text draws states hundreds of times larger
than all others. Centring is the adapter's part.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from inference.item_tokens.trunk import cut, states
from inference.prompt import clean
from inference.tokens import Tokens

VERSION = "r1"
"""Part of every version that depends on readings: another way of reading gives others."""

DEPTHS = (12, 24)
"""The layers after which states are read, for SmolLM2's 30. Others are an adapter's own."""

MAX_TOKENS = 64
_OPENING = "\n"
_CHARACTERS_A_TOKEN = 24
"""Text beyond so many characters for each token that is read is not even tokenized."""
_PASS_TOKENS = 512
"""Tokens of one pass: more are no faster on a CPU and need more memory."""

Progress = Callable[[int, int], None]
"""Called with how many texts are read, and of how many."""


def compose(text: str, about: str) -> str:
    """The one text that is read of an item: its title, then its attributes and description."""
    return f"{text}. {about}" if about else text


def digest(text: str) -> bytes:
    """The 16 bytes under which a text's reading is kept."""
    return blake2b(text.encode(errors="replace"), digest_size=16).digest()


class Reader:
    """Reads texts with a transformers decoder that was loaded with `inference.attention.IMPLEMENTATION`.

    `base` names its weights and number format. Only the layers up to the deepest of `depths` are run. Not thread-safe.
    """

    def __init__(self, decoder: Any, tokens: Tokens, base: str, depths: Sequence[int] = DEPTHS) -> None:
        if not depths or min(depths) < 1:
            raise ValueError(f"readings after layers {tuple(depths)}: name layers from 1 on")
        self.version = f"{base}-{VERSION}-{'-'.join(map(str, depths))}"
        self.depths = tuple(depths)
        self.trunk = cut(decoder, max(depths))
        self._tokens = tokens
        self._opening = tokens.control(_OPENING)[:1]
        weight = decoder.embed_tokens.weight
        self.hidden: int = weight.shape[1]
        self._dtype, self._device = weight.dtype, weight.device

    def tokens(self, text: str) -> tuple[int, ...]:
        """What is read of `text`: the opening token and 1 to `MAX_TOKENS` others."""
        found = self._tokens.data(clean(text[: MAX_TOKENS * _CHARACTERS_A_TOKEN]) or "?")[:MAX_TOKENS]
        return (*self._opening, *(found or self._opening))

    @torch.inference_mode()
    def read(self, texts: Sequence[str], progress: Progress = lambda done, total: None) -> Tensor:
        """Readings as float32 [texts, depths, hidden]. No text changes another's reading, up to rounding."""
        ids = [self.tokens(text) for text in texts]
        found = torch.empty(len(texts), len(self.depths), self.hidden)
        done = 0
        for batch in _batches(ids):
            found[batch] = self._pass([ids[place] for place in batch])
            done += len(batch)
            progress(done, len(texts))
        return found

    def _pass(self, ids: Sequence[tuple[int, ...]]) -> Tensor:
        """Readings of some texts in one pass, without padding outside of the attention."""
        lengths = [len(run) for run in ids]
        rows = torch.tensor([token for run in ids for token in run], device=self._device)
        positions = torch.cat([torch.arange(length) for length in lengths]).to(self._device)
        taken: dict[int, Tensor] = {}
        hooks = [
            self.trunk.layers[depth - 1].register_forward_hook(
                lambda module, inputs, output, depth=depth: taken.__setitem__(depth, output)
            )
            for depth in self.depths
        ]
        try:
            states(self.trunk, self.trunk.embed_tokens(rows), positions, Texts(lengths))
        finally:
            for hook in hooks:
                hook.remove()
        deep = torch.stack([taken[depth][0].float().cpu() for depth in self.depths], dim=1)
        return torch.stack([run[1:].mean(0) for run in torch.split(deep, lengths)])


class Texts:
    """The attention of a pass over several texts, one after another: each is causal and sees itself only."""

    def __init__(self, lengths: list[int]) -> None:
        self._lengths = lengths

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`query` and the result are [heads, rows, size], `key` and `value` [kv heads, rows, size]."""
        longest = max(self._lengths)
        queries, keys, values = (
            torch.stack(
                [pad(run, (0, 0, 0, longest - run.shape[1])) for run in torch.split(whole, self._lengths, dim=1)]
            )
            for whole in (query, key, value)
        )
        # What is padded stands behind, where a causal mask hides it from every real row.
        out = scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale, enable_gqa=True)
        return torch.cat([run[:, :length] for run, length in zip(out, self._lengths, strict=True)], dim=1)


def _batches(ids: Sequence[tuple[int, ...]]) -> Iterator[list[int]]:
    """Places of texts of about one length, up to `_PASS_TOKENS` tokens together."""
    batch: list[int] = []
    tokens = 0
    for place in sorted(range(len(ids)), key=lambda place: len(ids[place])):
        if batch and tokens + len(ids[place]) > _PASS_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(place)
        tokens += len(ids[place])
    if batch:
        yield batch
