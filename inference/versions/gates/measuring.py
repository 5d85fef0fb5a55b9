"""From versions on disk to a trial: both are run, as they are served, on the same held-out likes and logged lists.

A version's top items are retrieved by its vectors from the whole catalogue, and the best of them scored again in one
packed pass, as a worker does.

A version that learned the held-out likes as well, in a last pass, must not be judged on them as it is served:
`trial_before` takes the vectors that it had before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inference.training.calibration import sigmoid
from inference.training.histories import Ints
from inference.training.network import Network
from inference.training.validation import TIES_SEED, answers, scored
from inference.versions.gates.held_out import NO_LISTS, HeldOut
from inference.versions.gates.rounding import spearman
from inference.versions.gates.trained_order import DEPTH as ORDER_DEPTH
from inference.versions.gates.trained_order import LIKES
from inference.versions.gates.trial import DEPTH, NONE, Floats, Measured, Trial
from inference.wire import Answer, Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, ItemVectors, ScoreRequest

SHORTLIST = 50
"""Items that are scored again."""

_CHUNK = 32


class Engine(Protocol):
    """A loaded version (`inference.item_tokens.engine.ItemTokenEngine`)."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Answer]: ...

    def describe(self, items: Sequence[Candidate]) -> ItemVectors: ...

    @property
    def slope(self) -> float:
        """What logits were multiplied by when the version was calibrated."""

    def save(self) -> None:
        """Store what was read of items, so that the next version's judgement need not read it again."""


class Asked:
    """A loaded version's answers about `held`."""

    def __init__(self, engine: Engine, held: HeldOut, shortlist: int = SHORTLIST) -> None:
        self._engine, self._held, self._shortlist = engine, held, shortlist
        parts = [held.texts[at : at + MAX_DESCRIBED] for at in range(0, len(held.texts), MAX_DESCRIBED)]
        self._vectors = np.concatenate([_matrix(engine.describe(part)) for part in parts])
        engine.save()
        if shortlist < DEPTH:
            raise ValueError(f"the shortlist must have at least {DEPTH} items, not {shortlist}; raise max_candidates")

    def before(self, likes: Ints) -> NDArray[np.float32]:
        """The retrieval logits before each of some likes, [n, items]."""
        return self.logits(likes, self._held.histories.history[likes])

    def logits(self, places: Ints, histories: Ints) -> NDArray[np.float32]:
        """The retrieval logits before each place, [n, items]; -inf for items met."""
        asked = list(zip(places.tolist(), histories.tolist(), strict=True))
        found = [_answered(one).vector for one in self._engine.score([self._held.request(*one) for one in asked])]
        contexts = np.array(found, np.float32).reshape(len(asked), self._vectors.shape[1])
        scores: NDArray[np.float32] = contexts @ self._vectors.T
        for row, (place, history) in enumerate(asked):
            scores[row, self._held.histories.item[self._held.before(place, history)]] = -np.inf
        return scores

    def measured(self, *, decide: bool = True) -> Measured:
        """What the version does in all tests, and unless `decide` is false in all decisions. Items without finite
        scores are ranked last."""
        held, found, ties = self._held, _Found(), np.random.default_rng(TIES_SEED)
        for begin in range(0, len(held.tests), _CHUNK):
            tests = held.tests[begin : begin + _CHUNK]
            owners = held.histories.history[tests]
            logits = self.logits(tests, owners)
            orders = [_order(row, ties) for row in logits]
            requests = [
                held.request(test, owner, order[: self._shortlist].tolist())
                for test, owner, order in zip(tests.tolist(), owners.tolist(), orders, strict=True)
            ]
            for row, answer in enumerate(self._engine.score(requests)):
                scores = np.array(_answered(answer).scores, np.float64)
                again, first = _order(scores, ties), orders[row][: self._shortlist]
                order = np.concatenate((first[again], orders[row][self._shortlist :]))
                fine = bool(np.isfinite(scores).all() and (logits[row] < np.inf).all())
                found.add(int(held.histories.item[tests[row]]), int(owners[row]), order, scores[again], fine)
        chances, wrong = self.chances() if decide else (np.zeros(0), 0)
        return found.measured(chances, wrong)

    def chances(self) -> tuple[Floats, int]:
        """The probability of each logged decision under the softmax that the version was trained with, [D], and how
        many are not finite. 0 if the user had met the item."""
        lists = self._held.lists
        found = np.zeros(len(lists.item))
        for begin in range(0, len(found), _CHUNK):
            here = slice(begin, begin + _CHUNK)
            scores = self.logits(lists.place[here], lists.history[here]).astype(np.float64) / self._engine.slope
            for row, at in enumerate(range(begin, begin + len(scores))):
                scores[row, lists.above[at]] = -np.inf
                most = scores[row].max()
                if most > -np.inf or np.isnan(most):  # else the user has met every item
                    shifted = np.exp(scores[row] - most)
                    found[at] = shifted[lists.item[at]] / shifted.sum()
        return found, int((~np.isfinite(found)).sum())


@dataclass(frozen=True, eq=False)
class Reference:
    """What the served challenger should rank like: `logits()` are those of the trained network before each of some
    `likes` (ascending indices into the stream), float32 [A, items]; -inf for items that are not to be compared."""

    likes: Ints
    logits: Callable[[], NDArray[np.float32]]

    @classmethod
    def of(cls, held: HeldOut, logits: Callable[[Ints], NDArray[np.float32]]) -> "Reference":
        """By what says the logits before some of the tests of `held`."""
        likes = held.tests[:: max(1, -(-len(held.tests) // LIKES))]
        return cls(likes, lambda: logits(likes))

    def agreement(self, served: NDArray[np.float32]) -> Floats:
        """With the logits of the served version [A, items] (`agreement`)."""
        return agreement(self.logits(), served) if len(self.likes) else np.zeros(0)


class Vectors(Protocol):
    """How a version represents the tests, in their order (`inference.training.held_out.Judged`)."""

    @property
    def contexts(self) -> NDArray[np.float32]:
        """The context vector just before each test, float32 [T, D]."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The item vectors, float32 [items, D]."""


class _Found:
    """The results of tests, one after the other."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.tops: list[Ints] = []
        self.predicted: list[Floats] = [np.zeros(0)]
        self.taken: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
        self.shown_to: list[Ints] = [np.zeros(0, np.int64)]
        self.broken = 0

    def add(self, liked: int, user: int, order: Ints, scores: NDArray[Any], fine: bool) -> None:
        """One test: the items, best first; the scores of at least the first ten; whether all scores were finite."""
        at, best = np.flatnonzero(order == liked), order[:DEPTH]
        self.places.append(int(at[0]) if len(at) else NONE)
        self.tops.append(np.pad(best, (0, DEPTH - len(best)), constant_values=NONE))
        self.predicted.append(sigmoid(scores[: len(best)]))
        self.taken.append(best == liked)
        self.shown_to.append(np.full(len(best), user))
        self.broken += not fine

    def measured(self, chances: Floats, wrong: int) -> Measured:
        return Measured(
            places=np.array(self.places, np.int64),
            top=np.array(self.tops, np.int64).reshape(-1, DEPTH),
            predicted=np.concatenate(self.predicted),
            taken=np.concatenate(self.taken),
            shown_to=np.concatenate(self.shown_to),
            chances=chances,
            broken=self.broken + wrong,
        )


def retrieved(version: Vectors, held: HeldOut) -> Measured:
    """What a version does in all tests by its vectors alone. `held.lists` must be empty."""
    found, ties = _Found(), np.random.default_rng(TIES_SEED)
    for row, test in enumerate(held.tests.tolist()):
        owner = int(held.histories.history[test])
        scores: NDArray[np.float32] = version.vectors @ version.contexts[row]
        scores[held.histories.item[held.before(test, owner)]] = -np.inf
        order = _order(scores, ties)
        found.add(int(held.histories.item[test]), owner, order, scores[order], bool((scores < np.inf).all()))
    return found.measured(np.zeros(0), 0)


def trial_of(
    champion: Callable[[], Engine],
    challenger: Callable[[], Engine],
    held: HeldOut,
    reference: Reference,
    *,
    shortlist: int = SHORTLIST,
    decide: bool = True,
) -> Trial:
    """Run both versions, one after the other; each is loaded by its callable and dropped afterwards. Neither may have
    learned the tests. At most `max_candidates` of the settings may be on the `shortlist`."""
    theirs = Asked(champion(), held, shortlist).measured(decide=decide)
    return compared(theirs, challenger, held, reference, shortlist=shortlist, decide=decide)


def compared(
    champion: Measured,
    challenger: Callable[[], Engine],
    held: HeldOut,
    reference: Reference,
    *,
    shortlist: int = SHORTLIST,
    decide: bool = True,
) -> Trial:
    """`trial_of` for a champion that was measured before, on the same `held`."""
    asked = Asked(challenger(), held, shortlist)
    ours, served = asked.measured(decide=decide), asked.before(reference.likes)
    del asked  # before another version is loaded
    return _trial(champion, ours, held, reference.agreement(served))


def trial_before(
    champion: Vectors,
    challenger: Vectors,
    served: Callable[[], Engine],
    held: HeldOut,
    reference: Reference,
) -> Trial:
    """The trial of a challenger that has learned the tests since, by the vectors of both versions before. Only rank
    agreement is that of the challenger as it is `served`."""
    asked = Asked(served(), held)
    logits = asked.before(reference.likes)
    del asked  # before another version is loaded
    alone = replace(held, lists=NO_LISTS)
    agreed = reference.agreement(logits)
    return _trial(retrieved(champion, alone), retrieved(challenger, alone), alone, agreed)


def _trial(champion: Measured, challenger: Measured, held: HeldOut, agreed: Floats) -> Trial:
    return Trial(
        champion=champion,
        challenger=challenger,
        users=held.histories.history[held.tests],
        likes=held.likes_before(),
        popularity=held.popularity,
        agreement=agreed,
        decisions=held.lists.decisions,
        groups=held.groups,
    )


def exact_logits(network: Network, held: HeldOut) -> Callable[[Ints], NDArray[np.float32]]:
    """The logits of a network that was just trained before some tests, for `Reference.of`."""
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
            top = np.argsort(-one, kind="stable")[:ORDER_DEPTH]
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
