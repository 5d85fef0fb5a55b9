"""Compute readings: representations of item texts by the language model, which depend only on base weights and text.

A reading is the mean of the hidden states over the tokens of the text, after each of two layers. The text follows one
opening token, which is excluded from the mean: the first token of a text has states hundreds of times larger than all
others. The adapter does the centring.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from inference.item_tokens.trunk import cut, states
from inference.progress import Count, uncounted
from inference.transformer.tokenizer import Tokens, clean

VERSION = "r1"
"""Part of every version that depends on readings."""

DEPTHS = (12, 24)
"""The layers after which states are read, by default: for SmolLM2's 30 layers. Adapters may use others."""

MAX_TOKENS = 64
_OPENING = "\n"
_CHARACTERS_A_TOKEN = 24
"""Text beyond this many characters per allowed token is cut before tokenization."""
_PASS_TOKENS = 512
"""Tokens per pass: more are no faster on a CPU and need more memory."""

LAYER_SECONDS = 0.04
"""Target duration of one layer of a yielding pass: the longest that a list waits for it."""

_FIRST_TOKENS, _FEWEST_TOKENS = 64, 32
"""Tokens of the first yielding pass, before any is timed, and the minimum on slow machines."""


def compose(text: str, about: str) -> str:
    """The text to read for an item: its title, then its attributes and description."""
    return f"{text}. {about}" if about else text


def digest(text: str) -> bytes:
    """The 16-byte key of a text's reading."""
    return blake2b(text.encode(errors="replace"), digest_size=16).digest()


class Reader:
    """Reads texts with a transformers decoder that was loaded with `inference.transformer.attention.IMPLEMENTATION`.

    `base` names its weights and number format. Runs only the layers up to the deepest of `depths`. Not thread-safe.
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
        self._device = weight.device
        self._most = _FIRST_TOKENS
        """Tokens of the next yielding pass."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """The tokens read for `text`: the opening token and 1 to `MAX_TOKENS` others."""
        found = self._tokens.data(clean(text[: MAX_TOKENS * _CHARACTERS_A_TOKEN]) or "?")[:MAX_TOKENS]
        return (*self._opening, *(found or self._opening))

    def read(self, texts: Sequence[str], progress: Count = uncounted) -> Tensor:
        """Readings as float32 [texts, depths, hidden]. Each is independent of the other texts, up to rounding."""
        found = torch.empty(len(texts), len(self.depths), self.hidden)
        done = 0
        for places, readings in self.passes(texts):
            found[places] = readings
            done += len(places)
            progress(done, len(texts))
        return found

    def passes(
        self, texts: Sequence[str], pause: Callable[[], None] | None = None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Yield the results of one pass at a time: indices of its texts, and their readings.

        `pause` is called before each layer and may read other texts with this reader; an exception from it ends the
        pass. With `pause`, passes are sized by the speed of earlier ones so that a layer takes `LAYER_SECONDS`.
        """
        ids = [self.tokens(text) for text in texts]
        for places in _batches(ids, lambda: _PASS_TOKENS if pause is None else self._most):
            yield places, self._pass([ids[place] for place in places], pause)

    @torch.inference_mode()
    def _pass(self, ids: Sequence[tuple[int, ...]], pause: Callable[[], None] | None) -> Tensor:
        """Readings of texts in one pass, without padding outside the attention."""
        lengths = [len(run) for run in ids]
        rows = torch.tensor([token for run in ids for token in run], device=self._device)
        positions = torch.cat([torch.arange(length) for length in lengths]).to(self._device)
        attention = Texts(lengths, pause)
        taken: dict[int, Tensor] = {}

        def take(depth: int, layer_kwargs: dict[str, Any], output: Any) -> None:
            # Another pass may run through the same layers while this one pauses.
            if layer_kwargs.get("packed") is attention:
                taken[depth] = output[0]

        hooks = [
            self.trunk.layers[depth - 1].register_forward_hook(
                lambda module, inputs, kwargs, output, depth=depth: take(depth, kwargs, output), with_kwargs=True
            )
            for depth in self.depths
        ]
        try:
            states(self.trunk, self.trunk.embed_tokens(rows), positions, attention)
        finally:
            for hook in hooks:
                hook.remove()
        self._learn_pace(attention.seconds, len(rows))
        deep = torch.stack([taken[depth].float().cpu() for depth in self.depths], dim=1)
        return torch.stack([run[1:].mean(0) for run in torch.split(deep, lengths)])

    def _learn_pace(self, seconds: Sequence[float], tokens: int) -> None:
        """Adapt the pass size to the layer times of a yielding pass. Ignores small passes, which the time to load
        weights dominates."""
        if seconds and (tokens >= self._most // 2 or statistics.median(seconds) > LAYER_SECONDS):
            fitting = int(tokens * LAYER_SECONDS / max(statistics.median(seconds), 1e-6))
            self._most = min(max(fitting, _FEWEST_TOKENS), 2 * self._most, _PASS_TOKENS)


class Texts:
    """The attention of a pass over several concatenated texts: causal, and within each text only.

    Calls `pause` in each layer; `seconds` holds the times between consecutive pauses.
    """

    def __init__(self, lengths: list[int], pause: Callable[[], None] | None = None) -> None:
        self._lengths = lengths
        self._pause = pause
        self._since: float | None = None
        self.seconds: list[float] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`query` and the result are [heads, rows, size], `key` and `value` [kv heads, rows, size]."""
        if self._pause is not None:
            if self._since is not None:
                self.seconds.append(time.perf_counter() - self._since)
            self._pause()
            self._since = time.perf_counter()
        longest = max(self._lengths)
        queries, keys, values = (
            torch.stack(
                [pad(run, (0, 0, 0, longest - run.shape[1])) for run in torch.split(whole, self._lengths, dim=1)]
            )
            for whole in (query, key, value)
        )
        # Padding is at the end, where the causal mask hides it from every real row.
        out = scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale, enable_gqa=True)
        return torch.cat([run[:, :length] for run, length in zip(out, self._lengths, strict=True)], dim=1)


def _batches(ids: Sequence[tuple[int, ...]], most: Callable[[], int]) -> Iterator[list[int]]:
    """Indices of texts of similar length, in batches of up to `most()` tokens, evaluated for each batch."""
    batch: list[int] = []
    tokens = 0
    for place in sorted(range(len(ids)), key=lambda place: len(ids[place])):
        if batch and tokens + len(ids[place]) > most():
            yield batch
            batch, tokens = [], 0
        batch.append(place)
        tokens += len(ids[place])
    if batch:
        yield batch
