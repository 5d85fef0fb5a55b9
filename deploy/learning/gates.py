"""The gates of real versions: from the store, with evidence, to results, and a card beside the adapter."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace

from inference.item_tokens.adapter import load
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ADAPTER, DType, ModelSettings, Quantization
from inference.training.validation import new_likes
from inference.transformer.attention import IMPLEMENTATION
from inference.transformer.weights import load_model, name_of, read_manifest
from inference.versions.card import RELIABILITY, Section, Subject, version_card, write_card
from inference.versions.gates.calibration import bins
from inference.versions.gates.held_out import HeldOut
from inference.versions.gates.judge import DEFAULT, judge
from inference.versions.gates.latency import Contender, latency
from inference.versions.gates.loading import loads
from inference.versions.gates.measuring import SHORTLIST, Asked, Engine, Reference, Vectors, trial_before, trial_of
from inference.versions.gates.off_policy import too_few
from inference.versions.gates.reliability_plot import reliability
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trained_order import ORDER, TrainedOrder
from inference.versions.gates.trial import Trial
from inference.versions.store import Gate, VersionStore
from schemas.scoring import Scorer

CANDIDATES = 100
LEAST_LIKES = 10
"""Of the trained network's order, the fewest that are compared."""

REQUESTS = 100
"""Different requests of a latency measurement."""


class Loader(Protocol):
    """Loads versions on one base model."""

    @property
    def base(self) -> str:
        """The name of the base model."""

    def decoder(self) -> Any:
        """The base model's layers, for checking that an adapter fits."""

    def engine(self, adapter: Path, *, exact: bool) -> Engine:
        """The version in a folder as it is served, or, if `exact`, in fp32 and unquantized."""


class WeightsLoader:
    """Loads versions on converted weights, with the settings that they are served with."""

    def __init__(self, weights: Path, settings: ModelSettings, readings: Path | None) -> None:
        self._weights, self._settings, self._readings = weights, settings, readings
        self.base = name_of(read_manifest(weights).source)

    def decoder(self) -> Any:
        return load_model(self._weights, self._settings, IMPLEMENTATION).base_model

    def engine(self, adapter: Path, *, exact: bool) -> Engine:
        settings = self._settings
        if exact:
            settings = replace(settings, dtype=DType.FP32, quantization=Quantization.NONE)
        return ItemTokenEngine.load(self._weights, adapter, settings, self._readings)


@dataclass(frozen=True)
class VersionGates:
    """Judges versions of `store`. `evidence` returns what a version is judged on, `adapter_of` the adapter's folder of
    a version without a folder in the store (the one that `ouzel triton build` made). `data` and `terms` are for cards.

    Judging loads the model twice, one after the other, or three times without the order of the trained network
    (`inference.versions.gates.trained_order`), and runs in a thread.
    """

    store: VersionStore
    loader: Loader
    evidence: Callable[[int], HeldOut]
    adapter_of: Callable[[int], Path]
    scorer: Scorer
    clock: Callable[[], float]
    data: str
    terms: str
    thresholds: Thresholds = DEFAULT
    shortlist: int = SHORTLIST
    seed: int = 0
    before: Callable[[int], tuple[Vectors, Vectors] | None] = field(default=lambda number: None)
    """The champion's and the version's vectors of the tests from before the version learned them, if it has."""
    training: Callable[[int], Sequence[Section]] = field(default=lambda number: ())
    """Further sections of the card (`inference.training.card.sections`)."""

    async def judge(self, number: int, champion: int) -> list[Gate]:
        """The gates that need no server, cheapest first; a version that cannot be loaded has one. Writes the card."""
        return await asyncio.to_thread(self._judge, number, champion)

    async def measure(self, number: int, champion: int) -> list[Gate]:
        """The gates of a version that is loaded beside the champion. Adds them to the card in the store."""
        held, rng = self.evidence(number), np.random.default_rng((self.seed, number))
        among = min(CANDIDATES, len(held.texts))
        requests = [
            held.request(test, int(held.histories.history[test]), rng.permutation(len(held.texts))[:among].tolist())
            for test in held.tests[-REQUESTS:].tolist()
        ]
        found = await latency(
            self.scorer,
            Contender(champion),
            Contender(number, self.store.record(number).name),
            requests,
            self.thresholds,
            rng,
            clock=self.clock,
        )
        names = {gate.name for gate in found}
        self._write_card(number, [*(gate for gate in self.store.gates(number) if gate.name not in names), *found], {})
        return found

    def _judge(self, number: int, champion: int) -> list[Gate]:
        held, folder = self.evidence(number), self._adapter(number)
        gate = loads(folder, self.loader.decoder(), self.loader.base, held.histories.items)
        if not gate.passed:
            self._write_card(number, [gate], {})
            return [gate]
        trial = self._trial(number, champion, folder, held)
        rng = np.random.default_rng((self.seed, number))
        found = [gate, *judge(trial, self.thresholds, rng)]
        title = f"Calibration of version {number}"
        (self.store.folder(number) / ORDER).unlink(missing_ok=True)
        drawn = reliability(bins(trial.challenger.predicted, trial.challenger.taken, rng), title)
        self._write_card(number, found, {RELIABILITY: drawn})
        return found

    def _trial(self, number: int, champion: int, folder: Path, held: HeldOut) -> Trial:
        def served() -> Engine:
            return self.loader.engine(folder, exact=False)

        before, reference = self.before(number), self._reference(number, folder, held)
        if before is not None:
            return trial_before(*before, served, held, reference)
        return trial_of(
            lambda: self.loader.engine(self._adapter(champion), exact=False),
            served,
            held,
            reference,
            shortlist=self.shortlist,
            decide=not too_few(held.lists.decisions, self.thresholds),
        )

    def _reference(self, number: int, folder: Path, held: HeldOut) -> Reference:
        """The network as it was trained; without its order, the version in fp32, which reads all items once more and
        leaves out the rounding of the tensors."""
        trained = TrainedOrder.read(self.store.folder(number))
        if trained is not None:
            stream = held.histories
            likes, logits = trained.found(stream, new_likes(stream, held.learned, len(stream)))
            if len(likes) >= LEAST_LIKES:
                return Reference(likes, lambda: logits)
        return Reference.of(
            held, lambda likes: Asked(self.loader.engine(folder, exact=True), held, self.shortlist).before(likes)
        )

    def _adapter(self, number: int) -> Path:
        folder = self.store.folder(number) / ADAPTER
        return folder if folder.is_dir() else self.adapter_of(number)

    def _write_card(self, number: int, gates: Sequence[Gate], plots: dict[str, str]) -> None:
        record, folder = self.store.record(number), self.store.folder(number) / ADAPTER
        if not folder.is_dir():
            return
        parent = self.store.record(record.parent).name if record.parent in self.store.numbers() else "as it was built"
        loaded = gates[0].passed
        card = version_card(
            record,
            parent,
            Subject(record.name, self.loader.base, self.data, self.terms, self.data.split(";")[0]),
            gates,
            training=self.training(number),
            figures=load(folder).figures if loaded else {},
        )
        write_card(folder, card, plots)
