"""The newest likes, which a version has not learned, and how two versions rank them. Gates compare the two."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.training.histories import Histories, Ints
from inference.training.network import Network
from inference.training.validation import Figures, answers, figures, retrieved, scored
from inference.training.walk_forward import Bools, Floats, Readings


@dataclass(frozen=True, eq=False)
class Judged:
    """How one model ranks n held-out likes.

    `ranks` int64 [n]: the position of the liked item, from 0, among all items that its user had not met. `contexts`
    float32 [n, D]: the context vector just before each like; `vectors` float32 [items, D]. `known` bool [items]: the
    items whose single parameters the model has learned.
    """

    ranks: Ints
    contexts: Floats
    vectors: Floats
    known: Bools

    def scores(self, at: int) -> Floats:
        """The logit of every item before like number `at`, float32 [items]; items that the user has met included."""
        return np.asarray(self.vectors @ self.contexts[at], np.float32)

    @property
    def figures(self) -> Figures:
        return figures(self.ranks)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Likes of items new to their users: places in the stream `histories`, int64 [n], as ranked by two models.

    `champion` is the parent as it is live, `challenger` the new version; with `Effort.finish` it is as it was before it
    learned these likes too. Its best round was chosen on the likes marked `chosen_on`, bool [n], about half of them.
    """

    histories: Histories
    tests: Ints
    chosen_on: Bools
    champion: Judged
    challenger: Judged


def judge(network: Network, known: Bools, histories: Histories, tests: Ints) -> Judged:
    """Rank the likes `tests` with a network."""
    said = answers(network, known, histories, tests)
    contexts = said.contexts[tests].astype(np.float32)
    return Judged(retrieved(said, histories, tests), contexts, said.vectors[-1], known)


def surprise(said: Readings, histories: Histories, tests: Ints) -> float:
    """The mean negative log-likelihood of the likes `tests` in nats, by a softmax over the known items that their users
    had not met. Likes of other items are left out. It tells models apart with fewer likes than a hit ratio."""
    known, found = said.known[-1], 0.0
    count = 0
    for places, logits in scored(said, histories, tests):
        items = histories.item[places]
        rows = known[items]
        among: NDArray[np.float64] = np.where(known, logits, -np.inf)[rows].astype(np.float64)
        if not len(among):
            continue
        most = among.max(1, keepdims=True)
        total = most[:, 0] + np.log(np.exp(among - most).sum(1))
        found += float((total - among[np.arange(len(among)), items[rows]]).sum())
        count += len(among)
    return found / count if count else 0.0
