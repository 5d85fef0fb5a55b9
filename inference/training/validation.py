"""Validation: how a network ranks each user's next new like among all items that the user has not met."""

from collections.abc import Iterator

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from inference.evaluation.baselines import ItemKnn, Popularity
from inference.training.calibration import Calibration, calibrate
from inference.training.histories import Histories, Ints
from inference.training.network import ItemTokenNetwork, Network
from inference.training.packed import gather
from inference.training.walk_forward import Bools, Floats, Readings, read, width

DEPTH = 10
CHUNK = 32
"""Lists per pass."""

TIES_SEED = 0x7469_6573
"""The seed for breaking ties."""


class Figures(msgspec.Struct, frozen=True):
    """The share of `tests` whose item is in the top ten (`hr`), and the mean over all tests of 1 / log2(rank + 1),
    0 beyond the top ten (`ndcg`)."""

    tests: int
    hr: float
    ndcg: float

    def __str__(self) -> str:
        return f"HR@{DEPTH} {self.hr:.4f}, NDCG@{DEPTH} {self.ndcg:.4f}"


def figures(places: Ints) -> Figures:
    """The figures of positions from 0; negative means not listed."""
    listed = (places >= 0) & (places < DEPTH)
    gains = 1.0 / np.log2(places[listed] + 2.0)
    count = max(1, len(places))
    return Figures(len(places), float(listed.sum() / count), float(gains.sum() / count))


def new_likes(histories: Histories, begin: int, end: int) -> Ints:
    """Likes from `begin` up to `end` of items new to their history, as ascending indices into the stream."""
    found: list[Ints] = []
    for sequence in histories.sequences:
        _, first = np.unique(histories.item[sequence], return_index=True)
        found.append(sequence[first])
    new = np.sort(np.concatenate([*found, np.zeros(0, np.int64)])).astype(np.int64)
    return new[(new >= begin) & (new < end) & (histories.feeling[new] > 0)]


def answers(network: Network, known: Bools, histories: Histories, asked: Ints) -> Readings:
    """The network's readings just before each of the events `asked`."""
    wanted = np.zeros(len(histories), np.bool_)
    wanted[asked] = True
    found = Readings.of(len(histories), width(network, len(histories.items)))
    read(network, known, histories, wanted, found)
    return found


def scored(readings: Readings, histories: Histories, asked: Ints) -> Iterator[tuple[Ints, Floats]]:
    """By history: those of the events `asked` in it, and the logits [n, items] before each, -inf for items met."""
    wanted = np.zeros(len(histories), np.bool_)
    wanted[asked] = True
    vectors = readings.vectors[-1]
    for sequence in histories.sequences:
        some = np.flatnonzero(wanted[sequence])
        if not len(some):
            continue
        scores = readings.contexts[sequence[some]].astype(np.float32) @ vectors.T
        for row, at in enumerate(some.tolist()):
            scores[row, histories.item[sequence[:at]]] = -np.inf
        yield sequence[some], scores


def retrieved(readings: Readings, histories: Histories, asked: Ints) -> Ints:
    """The position, from 0, of each asked event's item among all items that its user has not met.

    Ties are broken at random, by event.
    """
    draws = _draws(histories)
    found = np.full(len(histories), -1, np.int64)
    for places, scores in scored(readings, histories, asked):
        own = scores[np.arange(len(places)), histories.item[places]]
        found[places] = (scores > own[:, None]).sum(1) + (draws[places] * (scores == own[:, None]).sum(1)).astype(int)
    return found[asked]


def best(readings: Readings, histories: Histories, asked: Ints, count: int) -> list[Ints]:
    """The `count` best items that the user has not met before each asked event, best first."""
    found: dict[int, Ints] = {}
    ties = np.random.default_rng(TIES_SEED).random(len(histories.items))
    for places, scores in scored(readings, histories, asked):
        order = np.lexsort((np.broadcast_to(ties, scores.shape), -scores))[:, :count]
        for place, row, line in zip(places.tolist(), order, scores, strict=True):
            found[place] = row[np.isfinite(line[row])]
    return [found[place] for place in asked.tolist()]


def calibrated(said: Readings, histories: Histories, asked: Ints) -> Calibration | None:
    """The calibration of logits to log-odds by the model's own top ten before each asked event; None if there is
    nothing to fit."""
    lists = best(said, histories, asked, DEPTH)
    scores = [
        said.vectors[-1][some] @ said.contexts[place].astype(np.float32)
        for place, some in zip(asked.tolist(), lists, strict=True)
    ]
    taken = [some == histories.item[place] for place, some in zip(asked.tolist(), lists, strict=True)]
    half = np.repeat(histories.history[asked] % 2 == 0, [len(some) for some in lists])
    return calibrate(np.concatenate(scores).astype(np.float64), np.concatenate(taken), half)


@torch.inference_mode()
def reranked(
    network: ItemTokenNetwork, known: Bools, histories: Histories, asked: Ints, shortlists: list[Ints]
) -> Ints:
    """The position of each asked event's item in its shortlist by the packed scores; -1 if it is not on it."""
    network.module.eval()
    on_device = torch.from_numpy(known).to(network.device)
    draws = _draws(histories)
    found = np.full(len(asked), -1, np.int64)
    for start in range(0, len(asked), CHUNK):
        here = slice(start, start + CHUNK)
        logits, corrections = network.packed(
            gather(histories, asked[here], shortlists[here]).to(network.device), on_device
        )
        scores = (logits + corrections).float().cpu().numpy()
        for row, (place, some) in enumerate(zip(asked[here].tolist(), shortlists[here], strict=True)):
            at = np.flatnonzero(some == histories.item[place])
            if len(at):
                given, own = scores[row, : len(some)], scores[row, at[0]]
                found[start + row] = (given > own).sum() + int(draws[place] * (given == own).sum())
    return found


def baselines(histories: Histories, asked: Ints) -> dict[str, Figures]:
    """The figures of popularity and item-kNN on the same tests. They learn every event up to each test."""
    methods = {"popularity": Popularity(), "item_knn": ItemKnn()}
    for method in methods.values():
        method.offer(histories.items)
    found: dict[str, list[int]] = {name: [] for name in methods}
    wanted: NDArray[np.bool_] = np.zeros(len(histories), np.bool_)
    wanted[asked] = True
    with_item, draws = np.flatnonzero(histories.item >= 0), _draws(histories)
    for place in with_item[: np.searchsorted(with_item, asked[-1], side="right") if len(asked) else 0].tolist():
        user, item = str(histories.history[place]), histories.items[histories.item[place]]
        for name, method in methods.items():
            if wanted[place]:
                found[name].append(method.order(user, int(histories.ts[place])).place(item, draws[place]))
            method.learn(user, item, bool(histories.feeling[place] > 0), int(histories.ts[place]))
    return {name: figures(np.array(places, np.int64)) for name, places in found.items()}


def _draws(histories: Histories) -> NDArray[np.float64]:
    """The tie-breaking draw of each event, from 0 to below 1, the same for every method. float64 [events]."""
    return np.random.default_rng(TIES_SEED).random(len(histories))
