"""A language model of two layers with random weights, and a tokenizer of bytes: quick, exact, and needing no files."""

from dataclasses import replace

import msgspec
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from inference.full_text.engine import Engine
from inference.item_tokens.adapter import Adapter
from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.heads import Shape
from inference.item_tokens.residuals import Residuals
from inference.settings import ModelSettings
from inference.transformer.attention import IMPLEMENTATION
from schemas.scoring import Candidate, Past, ScoreRequest

torch.set_num_threads(1)


class ByteTokens:
    """Every byte is a token, from 3 on. In control text "<stop>" is token 1."""

    def data(self, text: str) -> tuple[int, ...]:
        return tuple(byte + 3 for byte in text.encode(errors="replace"))

    def control(self, text: str) -> tuple[int, ...]:
        first, *rest = text.split("<stop>")
        return (*self.data(first), *(token for part in rest for token in (1, *self.data(part))))


def model(seed: int = 0) -> LlamaForCausalLM:
    """Llama-shaped: 4 query heads over 2 key heads, fp32. The weights are large, so that attention is not uniform."""
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=8192,
        initializer_range=0.4,
        attn_implementation=IMPLEMENTATION,  # type: ignore[call-arg]  # the configs of all models take it
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).train(False).requires_grad_(False)


def engine(**settings: object) -> Engine:
    """A fresh engine, with nothing kept."""
    chosen = {"dtype": "fp32", "threads": 1, "max_item_tokens": 24, **settings}
    return Engine(model(), ByteTokens(), ModelSettings.make(**chosen), "tiny-1")


def request(
    history: list[str],
    candidates: list[str],
    *,
    session: int = 1,
    steer: tuple[str, ...] = (),
    scene: str = "default",
    kind: str = "like",
) -> ScoreRequest:
    return ScoreRequest(
        session=session,
        scene=scene,
        history=tuple(Past(text, kind, feeling=1) for text in history),
        candidates=tuple(map(Candidate, candidates)),
        steer=steer,
    )


SHAPE = Shape(hidden=32, reading=64, layers=2, rank=4, width=12, middle=24)


def adapter(seed: int = 0, items: tuple[str, ...] = ()) -> Adapter:
    """A random adapter of the tiny model; `items` have residuals and stand in a tower."""
    shape = msgspec.structs.replace(SHAPE, tower=8) if items else SHAPE
    made = Adapter.random(model().model, "tiny", shape, depths=(1, 2), seed=seed)
    if not items:
        return made
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        residuals = Residuals(shape, len(items))
        torch.nn.init.normal_(residuals.output.weight)
    return replace(made, residuals=residuals.requires_grad_(False).eval(), items=items)


def item_token_engine(made: Adapter | None = None, **settings: object) -> ItemTokenEngine:
    """A fresh item-token engine, with nothing read."""
    chosen = {"dtype": "fp32", "threads": 1, "max_reads": 10_000, **settings}
    return ItemTokenEngine(model().model, ByteTokens(), made or adapter(), ModelSettings.make(**chosen), "tiny-1")
