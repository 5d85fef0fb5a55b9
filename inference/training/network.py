"""Networks that can be trained in sequence: they turn histories into context vectors, and items into item vectors.

ItemTokenNetwork    the scorer: item tokens through the first layers of a language model with LoRA; with parameters of
                    single items, also a tower over item ids
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.item_tokens.adapter import Adapter, Cut
from inference.item_tokens.heads import Heads, Shape
from inference.item_tokens.learned import Learned
from inference.item_tokens.lora import adapt
from inference.item_tokens.residuals import Residuals
from inference.training.id_networks import TowerNetwork
from inference.training.packed import Lists, lay_out


class Network(Protocol):
    """Shapes: B pieces of L events, N items, vectors of width D."""

    module: nn.Module

    @property
    def device(self) -> torch.device:
        """The device of all arguments."""

    def contexts(self, items: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        """The context vector before each event and after the last: [B, L] each to [B, L + 1, D]."""

    def vectors(self, known: Tensor) -> Tensor:
        """The item vectors [N, D]. `known` bool [N]: the items seen in training so far."""

    def groups(self) -> Sequence[tuple[str, list[nn.Parameter]]]:
        """The trainable parameters, as ("lora" | "head" | "item", parameters)."""


class ItemTokenNetwork:
    """The scorer in training.

    `language_model` is a transformers decoder cut to its first `shape.layers` layers, without the vocabulary.
    `instruction` [P, H] is the embedded instruction. `readings` float32 [V, N, 2, R / 2] are the raw readings of each
    item, in V variants of its text: training draws one, inference takes the first. `residuals` also trains parameters
    of single items, which are left out at random with probability `forget`. `dropout` applies to item tokens and to the
    outputs of each layer's attention and feed-forward parts.

    `text` and `tower` (None if `shape` has none) are its parts, each trained separately. Their vectors are
    concatenated, so the logits of the whole are the sums of theirs.
    """

    def __init__(
        self,
        shape: Shape,
        language_model: Any,
        instruction: Tensor,
        readings: NDArray[np.float32],
        *,
        scale: float,
        residuals: bool,
        forget: float = 0.1,
        dropout: float = 0.1,
        start: Adapter | None = None,
        items: Sequence[str] = (),
    ) -> None:
        """With `start`, continues from its parameters, uncalibrated; residuals are matched by the ids `items`."""
        self.heads = Heads(shape, scale)
        device = instruction.device
        raw = torch.from_numpy(readings)
        if start is None:
            self.heads.mean.copy_(raw.mean(dim=(0, 1)).flatten())
        else:
            self.heads.load_state_dict(start.heads.state_dict())
            self.heads.calibrate(1.0, 0.0)
        self._readings = torch.stack([self.heads.centred(variant) for variant in raw]).to(device)
        self.residuals = Residuals(shape, readings.shape[1]) if residuals else None
        self.lora = adapt(language_model, shape.rank) if shape.rank else {}
        if start is not None:
            self._take_over(start, items)
        self._language_model = language_model
        self._instruction = instruction.float()
        self._forget = forget
        self._dropout = nn.Dropout(dropout)
        for layer in language_model.layers:
            for part in (layer.self_attn, layer.mlp):
                part.register_forward_hook(self._thinned)
        parts: dict[str, nn.Module] = {"heads": self.heads, "dropout": self._dropout}
        if self.residuals is not None:
            parts["residuals"] = self.residuals
        parts["lora"] = nn.ParameterDict({name.replace(".", "/"): value for name, value in self.lora.items()})
        self.level = nn.Parameter(torch.zeros(()))
        """The base rate of taking an item of a list, for the binary loss. Not part of an adapter."""
        parts["lists"] = nn.ParameterDict({"level": self.level})
        self.module: nn.Module = nn.ModuleDict(parts)
        self.module.to(device)
        self.text: Network = TextPart(self)
        tower = None if self.residuals is None else self.residuals.tower
        self.tower = None if tower is None else TowerNetwork(tower, self._rows)

    @property
    def device(self) -> torch.device:
        return self._readings.device

    def contexts(self, items: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        found = self.text_contexts(items, feelings, gaps)
        if self.tower is None:
            return found
        return torch.cat((found, self.tower.contexts(items, feelings, gaps) * self.heads.slope), dim=-1)

    def vectors(self, known: Tensor) -> Tensor:
        found = self.text_vectors(known)
        return found if self.tower is None else torch.cat((found, self.tower.vectors(known)), dim=-1)

    def text_contexts(self, items: Tensor, feelings: Tensor, gaps: Tensor) -> Tensor:
        """The context vectors of the text part."""
        embedded = self.heads.events(self._dropout(self.tokens(items)), feelings, gaps)
        before = self._instruction.expand(len(items), -1, -1)
        states = self.states(torch.cat((before, embedded), dim=1))
        return self.heads.contexts(states[:, before.shape[1] - 1 :])

    def tokens(self, items: Tensor) -> Tensor:
        """The input embeddings of items [...], [..., H]."""
        readings = self._drawn()[items]
        if self.residuals is None:
            return self.heads.tokens(readings)
        return self.heads.tokens(readings, self.residuals.tokens(self._rows(items + 1)))

    def states(self, embedded: Tensor, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """The last hidden states of embeddings [B, T, H]; causal, or with an additive `mask` [B, 1, T, T]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._dtype() is torch.bfloat16):
            found: Tensor = self._language_model(
                inputs_embeds=embedded.to(self._dtype()),
                attention_mask=None if mask is None else mask.to(self._dtype()),
                position_ids=positions,
                use_cache=False,
            ).last_hidden_state
        return found.float()

    def packed(self, given: Lists, known: Tensor) -> tuple[Tensor, Tensor]:
        """The retrieval logit and the correction of each candidate, [B, N] each, in one pass as in serving.

        Each candidate is a token that attends to the context and itself, positioned right after the context.
        """
        before = self._instruction.expand(len(given.items), -1, -1)
        events = self.heads.events(self._dropout(self.tokens(given.items)), given.feelings, given.gaps)
        offered = self.heads.candidates(self._dropout(self.tokens(given.candidates)))
        layout = lay_out(before.shape[1], given.lengths, events.shape[1], offered.shape[1])
        states = self.states(torch.cat((before, events, offered), dim=1), layout.mask, layout.positions)
        rows = torch.arange(len(states), device=self.device)
        contexts = self.heads.contexts(states[rows, layout.last])
        if self.tower is not None:
            beside = self.tower.contexts(given.items, given.feelings, given.gaps)[rows, given.lengths]
            contexts = torch.cat((contexts, beside * self.heads.slope), dim=-1)
        logits = torch.einsum("bd,bnd->bn", contexts, self.vectors(known)[given.candidates])
        return logits, self.heads.corrections(states[:, -offered.shape[1] :])

    def adapter(
        self,
        base: str,
        items: Sequence[str],
        known: NDArray[np.bool_],
        *,
        depths: Sequence[int],
        cut: Cut | None = None,
        learned: Sequence[Learned] = (),
        figures: Mapping[str, float] = MappingProxyType({}),
    ) -> Adapter:
        """The trained parameters, copied to the CPU, with the residuals of the `known` items, if any."""
        shape = self.heads.shape
        residuals, kept = Residuals.empty(shape), np.zeros(0, np.int64)
        if self.residuals is not None:
            kept = np.flatnonzero(known)
            residuals = Residuals(shape, len(kept))
            rows = torch.from_numpy(np.concatenate(([0], kept + 1)))
            state = {name: value.cpu() for name, value in self.residuals.state_dict().items()}
            rowed = {name: state[name][rows] for name in self.residuals.by_item()}
            residuals.load_state_dict({**state, **rowed})
        heads = Heads(shape)
        heads.load_state_dict({name: value.cpu() for name, value in self.heads.state_dict().items()})
        return Adapter(
            base=base,
            heads=heads.requires_grad_(False).train(False),
            lora={name: value.detach().cpu().clone() for name, value in self.lora.items()},
            residuals=residuals.requires_grad_(False).train(False),
            items=tuple(items[at] for at in kept.tolist()),
            depths=tuple(depths),
            cut=cut,
            learned=tuple(learned),
            figures=dict(figures),
        )

    def text_vectors(self, known: Tensor) -> Tensor:
        """The item vectors of the text part."""
        if self.residuals is None:
            return self.heads.vectors(self._drawn())
        rows = self._rows(torch.arange(1, len(known) + 1, device=self.device)) * known
        return self.heads.vectors(self._drawn(), self.residuals.vectors(rows))

    def groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """The trainable parameters of both parts."""
        return [*self.text.groups(), *(() if self.tower is None else self.tower.groups())]

    def text_groups(self) -> list[tuple[str, list[nn.Parameter]]]:
        """The trainable parameters of the text part."""
        residuals = [] if self.residuals is None else self.residuals.of_text()
        return [("lora", list(self.lora.values())), ("head", list(self.heads.parameters())), ("item", residuals)]

    @torch.no_grad()
    def _take_over(self, start: Adapter, items: Sequence[str]) -> None:
        for name, value in self.lora.items():
            value.copy_(start.lora[name])
        if self.residuals is None or not start.items:
            return
        places = {item: row for row, item in enumerate(items, 1)}
        common = [(places[item], row) for row, item in enumerate(start.items, 1) if item in places]
        into, out = zip((0, 0), *common, strict=True)  # row 0 is the same in both
        here, there = self.residuals.state_dict(), start.residuals.state_dict()
        for name in start.residuals.by_item():
            there[name] = here[name].index_copy(0, torch.tensor(into), there[name][list(out)])
        self.residuals.load_state_dict({**here, **there})  # `start` may have no tower

    def _drawn(self) -> Tensor:
        """Each item's reading, [N, R]; in training, of a random variant."""
        if not self.module.training or len(self._readings) == 1:
            return self._readings[0]
        count = self._readings.shape[1]
        return self._readings[
            torch.randint(len(self._readings), (count,), device=self.device), torch.arange(count, device=self.device)
        ]

    def _rows(self, rows: Tensor) -> Tensor:
        """Rows of residuals; in training, a random part is replaced by row 0."""
        return rows * (torch.rand(rows.shape, device=self.device) >= self._forget) if self.module.training else rows

    def _thinned(self, part: nn.Module, given: Any, made: Any) -> Any:
        """Apply dropout to the output of a part of a layer."""
        if isinstance(made, tuple):  # attention also returns its weights
            return (self._dropout(made[0]), *made[1:])
        return self._dropout(made)

    def _dtype(self) -> torch.dtype:
        found: torch.dtype = next(self._language_model.parameters()).dtype
        return found


class TextPart:
    """The text part of an `ItemTokenNetwork` as a separate network."""

    def __init__(self, whole: ItemTokenNetwork) -> None:
        self._whole = whole
        self.module: nn.Module = whole.module
        self.contexts = whole.text_contexts
        self.vectors = whole.text_vectors
        self.groups = whole.text_groups

    @property
    def device(self) -> torch.device:
        return self._whole.device
