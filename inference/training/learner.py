"""The models that an evaluation trains: the scorer, SASRec and eSASRec, with the same trainer on the same events."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inference.evaluation.sasrec import LigrBlock, SasRec
from inference.item_tokens.adapter import Adapter
from inference.item_tokens.context import instruction
from inference.item_tokens.heads import Shape
from inference.item_tokens.reading import DEPTHS, Reader, compose
from inference.item_tokens.reading_store import ReadingStore, read_through
from inference.item_tokens.tower import Block
from inference.item_tokens.trunk import cut, embedding_scale
from inference.progress import Progress
from inference.settings import ModelSettings
from inference.training.augmentation import variants
from inference.training.histories import Histories
from inference.training.id_networks import SasRecNetwork
from inference.training.network import ItemTokenNetwork, Network
from inference.training.schedule import TOWER
from inference.training.sequences import WINDOW
from inference.training.trainer import Recipe
from inference.training.walk_forward import Lesson, Pace, Readings, hold_out, walk
from inference.transformer.attention import IMPLEMENTATION
from inference.transformer.number_format import choose
from inference.transformer.tokenizer import FileTokens
from inference.transformer.weights import load_model, name_of, read_manifest
from schemas.scoring import Candidate

Kind = Literal["scorer", "sasrec", "esasrec"]
Part = Literal["text", "tower", "sasrec", "esasrec"]
"""The separately trained parts: the scorer's two parts, and the sequential baselines."""

LAYERS = 2
"""Layers of the language model that a context goes through. More did not pay for their training time."""

SCORER = Recipe(later_rate=1.0)
SASREC = Recipe(batch=32)
WIDTH = 64
"""Width of the networks over item ids: the scorer's tower, and SASRec."""


class Base:
    """A base language model for training: its weights, as converted by `inference.transformer.weights.convert`, and its
    item reader.

    `chosen` has the number format and threads for training. `kept` is the folder of the reading store, shared between
    runs (`inference.settings.readings_of`).
    """

    def __init__(self, weights: Path, kept: Path | None, settings: ModelSettings) -> None:
        manifest = read_manifest(weights)
        self.chosen = choose(settings, weights)
        self._settings = self.chosen.settings
        self.name, self.version = name_of(manifest.source), manifest.version(self._settings.dtype)
        self.depths = DEPTHS
        self.tokens = FileTokens(weights)
        self._weights, self._kept = weights, kept
        self.use_threads()

    def use_threads(self) -> None:
        """Set torch's threads from the settings. Needed again in a process that this object was sent to."""
        torch.set_num_threads(self._settings.threads)

    def readings(self, items: Sequence[Candidate], count: int, seed: int, progress: Progress) -> NDArray[np.float32]:
        """Raw readings of `count` variants of each item's text, the text itself first: [count, items, 2, hidden]."""

        def report(done: int, total: int) -> None:
            progress("reading items", done, total)

        decoder = load_model(self._weights, self._settings, IMPLEMENTATION).base_model
        reader = Reader(decoder, self.tokens, self.version)
        texts = [[compose(one.text, one.about) for one in way] for way in variants(items, count, seed)]
        store = ReadingStore.of(self._kept, reader, self._settings.reading_store_bytes)
        found = read_through(store, reader, [text for way in texts for text in way], report)
        return found.view(count, len(items), *found.shape[1:]).numpy()

    def network(
        self,
        readings: NDArray[np.float32],
        *,
        layers: int,
        rank: int,
        residuals: bool,
        tower: int,
        forget: float,
        dropout: float,
        start: Adapter | None = None,
        items: Sequence[str] = (),
    ) -> ItemTokenNetwork:
        """An untrained network, initialised from torch's random state, with a tower of width `tower` if it has
        `residuals`. Or, with `start`, a network with its sizes and parameters, for the items with ids `items`; a tower
        of width `tower` is added if `start` has none. Raises `WeightsError` if `start` does not fit."""
        decoder = load_model(self._weights, self._settings, "sdpa").base_model
        ids = torch.tensor(instruction(self.tokens), device=decoder.embed_tokens.weight.device)
        hidden = decoder.embed_tokens.weight.shape[1]
        reading, tower = readings.shape[2] * hidden, tower if residuals else 0
        shape = Shape(hidden=hidden, reading=reading, layers=layers, rank=rank, tower=tower)
        if start is not None:
            start.check(decoder, self.name)
            shape = msgspec.structs.replace(start.shape, tower=start.shape.tower or tower)
        return ItemTokenNetwork(
            shape,
            cut(decoder, shape.layers),
            decoder.embed_tokens(ids),
            readings,
            scale=embedding_scale(decoder),
            residuals=residuals,
            forget=forget,
            dropout=dropout,
            start=start,
            items=items,
        )


class Learner:
    """Trains a new model for each call, the scorer from an adapter if there is one to start from."""

    def __init__(
        self,
        base: Base,
        readings: NDArray[np.float32],
        *,
        paces: dict[Part, Pace],
        epochs: dict[Part, int],
        start: Adapter | None = None,
        seed: int = 0,
    ) -> None:
        """`readings` are those of all items, from `base`. `paces` and `epochs` say how long each part is trained along
        a stream, and on a whole data set. The scorer starts from the heads and LoRA of `start`; its parameters of
        single items are not used, since other data can have other items of the same ids."""
        self._base = base
        self._readings = readings
        self._paces, self._epochs = paces, epochs
        self._start = None if start is None else replace(start, items=())
        self._seed = seed

    def walk(
        self, kind: Kind, streams: Sequence[Histories], cuts: Sequence[int], progress: Progress
    ) -> Sequence[Readings]:
        """Train at each cut on the events before it, and read the contexts from there to the next cut."""
        network, lessons = self._network(kind)
        return walk(
            network,
            lessons,
            streams,
            cuts,
            seed=self._seed,
            label=kind,
            progress=progress,
        )

    def hold_out(
        self,
        kind: Kind,
        learned: Histories,
        streams: Sequence[Histories],
        tests: Sequence[NDArray[np.int64]],
        progress: Progress,
    ) -> Sequence[Readings]:
        """Train on `learned`, and read the contexts before the `tests`, which are indices into each stream."""
        network, lessons = self._network(kind)
        return hold_out(
            network,
            lessons,
            learned,
            streams,
            tests,
            seed=self._seed,
            label=kind,
            progress=progress,
        )

    def _network(self, kind: Kind) -> tuple[Network, list[Lesson]]:
        self._base.use_threads()
        torch.manual_seed(self._seed)
        if kind != "scorer":
            block = Block if kind == "sasrec" else LigrBlock
            network = SasRecNetwork(SasRec(self._readings.shape[1], WIDTH, length=WINDOW + 1, block=block))
            return network, [self._lesson(kind, network, SASREC)]
        scorer = self._base.network(
            self._readings,
            layers=LAYERS,
            rank=16,
            residuals=True,
            tower=WIDTH,
            forget=0.1,
            dropout=0.2,
            start=self._start,
        )
        assert scorer.tower is not None
        return scorer, [self._lesson("text", scorer.text, SCORER), self._lesson("tower", scorer.tower, TOWER)]

    def _lesson(self, name: Part, part: Network, recipe: Recipe) -> Lesson:
        return Lesson(part, recipe, self._paces[name], self._epochs[name])
