"""From versions on disk to a trial: both are run, as they are served, on the same held-out likes and logged lists.

A version's top items are retrieved by its vectors from the whole catalogue, and the best of them scored again in one
packed pass, as a worker does. Only one version is in memory at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.training.calibration import sigmoid
from inference.training.histories import Ints
from inference.training.network import Network
from inference.training.validation import TIES_SEED, answers, scored
from inference.versions.gates.held_out import HeldOut
from inference.versions.gates.rounding import spearman
from inference.versions.gates.trial import DEPTH, NONE, Floats, Measured, Trial
from inference.wire import Answer, Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, ItemVectors, ScoreRequest

SHORTLIST = 50
"""Items that are scored again."""

AGREEMENT_TESTS = 100
AGREEMENT_DEPTH = 100
"""Ranks are compared among this many of the trained network's top items: the rest is never listed."""

_CHUNK = 32


class Engine(Protocol):
    """A loaded version (`inference.item_tokens.engine.ItemTokenEngine`)."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Answer]: ...

    def describe(self, items: Sequence[Candidate]) -> ItemVectors: ...

    @property
    def slope(self) -> float:
        """What logits were multiplied by when the version was calibrated."""


class Asked:
    """A loaded version's answers about `held`."""

    def __init__(self, engine: Engine, held: HeldOut, shortlist: int = SHORTLIST) -> None:
        self._engine, self._held, self._shortlist = engine, held, shortlist
        parts = [held.texts[at : at + MAX_DESCRIBED] for at in range(0, len(held.texts), MAX_DESCRIBED)]
        self._vectors = np.concatenate([_matrix(engine.describe(part)) for part in parts])
        self._ties = np.random.default_rng(TIES_SEED)

    def logits(self, places: Ints, histories: Ints) -> NDArray[np.float32]:
        """The retrieval logits before each place, [n, items]; -inf for items met."""
        asked = list(zip(places.tolist(), histories.tolist(), strict=True))
        found = [_answered(one).vector for one in self._engine.score([self._held.request(*one) for one in asked])]
        scores: NDArray[np.float32] = np.array(found, np.float32) @ self._vectors.T
        for row, (place, history) in enumerate(asked):
            scores[row, self._held.histories.item[self._held.before(place, history)]] = -np.inf
        return scores

    def measured(self) -> Measured:
        """What the version does in all tests and decisions. Items without finite scores are ranked last."""
        held = self._held
        positions, tops, predicted, taken, shown_to, broken = [], [], [], [], [], 0
        for begin in range(0, len(held.tests), _CHUNK):
            tests = held.tests[begin : begin + _CHUNK]
            owners, liked = held.histories.history[tests], held.histories.item[tests]
            logits = self.logits(tests, owners)
            orders = [_order(row, self._ties) for row in logits]
            shortlists = [order[: self._shortlist] for order in orders]
            requests = [
                held.request(*one) for one in zip(tests.tolist(), owners.tolist(), map(np.ndarray.tolist, shortlists),
                                                  strict=True)
            ]  # fmt: skip
            for row, answer in enumerate(self._engine.score(requests)):
                scores = np.array(_answered(answer).scores, np.float64)
                broken += not (np.isfinite(scores).all() and not np.isnan(logits[row]).any())
                again = _order(scores, self._ties)
                order = np.concatenate((shortlists[row][again], orders[row][self._shortlist :]))
                at = np.flatnonzero(order == liked[row])
                best = order[:DEPTH]
                positions.append(int(at[0]) if len(at) else NONE)
                tops.append(np.pad(best, (0, DEPTH - len(best)), constant_values=NONE))
                predicted.append(sigmoid(scores[again][: len(best)]))
                taken.append(best == liked[row])
                shown_to.append(np.full(len(best), owners[row]))
        chances, wrong = self.chances()
        return Measured(
            places=np.array(positions, np.int64),
            top=np.array(tops, np.int64).reshape(-1, DEPTH),
            predicted=np.concatenate(predicted or [np.zeros(0)]),
            taken=np.concatenate(taken or [np.zeros(0, np.bool_)]),
            shown_to=np.concatenate(shown_to or [np.zeros(0, np.int64)]),
            chances=chances,
            broken=broken + wrong,
        )

    def chances(self) -> tuple[Floats, int]:
        """The probability of each logged decision under the softmax that the version was trained with, [D], and how
        many are not finite. 0 if the user had met the item."""
        lists = self._held.lists
        found = np.zeros(len(lists.item))
        for begin in range(0, len(found), _CHUNK):
            here = slice(begin, begin + _CHUNK)
            scores = self.logits(lists.place[here], lists.history[here]).astype(np.float64) / self._engine.slope
            for row, at in enumerate(range(begin, begin + len(scores))):
                scores[row, lists.beside[at]] = -np.inf
                shifted = np.exp(scores[row] - scores[row].max())
                found[at] = shifted[lists.item[at]] / shifted.sum()
        return found, int((~np.isfinite(found)).sum())


def trial_of(
    champion: Callable[[], Engine],
    challenger: Callable[[], Engine],
    held: HeldOut,
    exact: Callable[[Ints], NDArray[np.float32]],
    *,
    shortlist: int = SHORTLIST,
) -> Trial:
    """Run both versions, one after the other; each is loaded by its callable and dropped afterwards.

    `exact` returns the logits [n, items] of the trained challenger for some tests, before its tensors were rounded
    (`exact_logits`), or those of the version served in fp32, which leaves out the rounding of the tensors. At most
    `max_candidates` of the settings may be on the `shortlist`.
    """
    theirs = Asked(champion(), held, shortlist).measured()
    asked = Asked(challenger(), held, shortlist)
    sample = held.tests[:: max(1, -(-len(held.tests) // AGREEMENT_TESTS))]
    served = asked.logits(sample, held.histories.history[sample]) if len(sample) else np.zeros((0, 1), np.float32)
    return Trial(
        champion=theirs,
        challenger=asked.measured(),
        users=held.histories.history[held.tests],
        likes=held.likes_before(),
        popularity=held.popularity,
        agreement=agreement(exact(sample), served) if len(sample) else np.zeros(0),
        decisions=held.lists.decisions,
        groups=held.groups,
    )


def exact_logits(network: Network, held: HeldOut) -> Callable[[Ints], NDArray[np.float32]]:
    """`exact` of a network that was just trained, for `trial_of`."""
    known = held.histories.met(held.learned)

    def logits(tests: Ints) -> NDArray[np.float32]:
        found = np.zeros((len(tests), len(held.texts)), np.float32)
        said = answers(network, known, held.histories, tests)
        for places, scores in scored(said, held.histories, tests):
            found[np.searchsorted(tests, places)] = scores
        return found

    return logits


def agreement(exact: NDArray[np.float32], served: NDArray[np.float32]) -> Floats:
    """Spearman's correlation of each row among the top items of `exact`, [n]; NaN if scores are not finite."""
    found = np.full(len(exact), np.nan)
    for row, (one, other) in enumerate(zip(exact, served, strict=True)):
        if not np.isnan(one).any():
            top = np.argsort(-one, kind="stable")[:AGREEMENT_DEPTH]
            top = top[one[top] > -np.inf]
            found[row] = spearman(one[None, top].astype(np.float64), other[None, top].astype(np.float64))[0]
    return found


def _order(scores: NDArray[Any], ties: np.random.Generator) -> Ints:
    """The items with scores above -inf, best first; ties at random, and NaN last."""
    ranked = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((ties.random(len(scores)), -ranked))
    return np.asarray(order[scores[order] != -np.inf], np.int64)


def _answered(answer: Answer) -> Answered:
    if not isinstance(answer, Answered):
        raise answer or RuntimeError("a request was dropped")
    return answer


def _matrix(found: ItemVectors) -> NDArray[np.float32]:
    return np.frombuffer(found.values, "<f4").reshape(-1, max(1, found.width))
