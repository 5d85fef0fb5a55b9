"""Users whose taste flips mid-stream, and a loop that learns from them.

Real here: the learner (item-to-item transitions counted from the newest likes), the offline gate (its hit ratio against
the champion's on the newest likes, which it did not learn), the tests in shadow and canary, and the state machine.
Simulated: the users. Each belongs to one of `GROUPS` groups with a preference for items; a like is drawn from it,
whatever lists are shown. A training takes no time.
"""

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.versions.actions import Action, Judge, Train
from inference.versions.rules import Rules
from inference.versions.state import State
from schemas.models import Comparison, Role
from tests.support.loop_world import Worker, World

USERS, GROUPS, ITEMS, TOP, RECENT, WINDOW = 400, 8, 300, 10, 5, 4_000
RULES = Rules(
    full_likes=1_500, items_likes=1_000_000, items_minutes=0.0, least_likes=100, canary_likes=200, canary_limit=800,
    share=0.2, shadow_pairs=300, shadow_limit=5_000, stale_likes=5_000,
)  # fmt: skip

Like = tuple[int, int]


def transitions(likes: list[Like]) -> NDArray[np.float32]:
    """How often each item was liked shortly after each other one, by the same user."""
    found = np.zeros((ITEMS, ITEMS), np.float32)
    recent: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=RECENT))
    for user, item in likes:
        for before in recent[user]:
            found[before, item] += 1.0
        recent[user].append(item)
    return found


def hits(model: NDArray[np.float32], recent: deque[int], item: int) -> bool:
    scores = model[list(recent)].sum(axis=0) if recent else model.sum(axis=0)
    return item in np.argpartition(-scores, TOP)[:TOP]


@dataclass
class TasteWorld(World):
    """`series` has, for each like, whether the list that the user got had the item, and whether one of the first
    version, never trained again, would have."""

    rules: Rules = field(default_factory=lambda: RULES)
    workers: list[Worker] = field(default_factory=lambda: [Worker("a")])
    likes_a_tick: int = 20
    flip_at: int = 10_000
    first: int = 3_000

    def __post_init__(self) -> None:
        super().__post_init__()
        self.most_versions = 1_000
        rng = np.random.default_rng(self.seed)
        weights = 1.0 / np.arange(1, ITEMS + 1) ** 1.2
        self._cumulative = np.cumsum(weights / weights.sum())
        self._tastes = [rng.permutation(ITEMS) for _ in range(GROUPS)]
        self._flipped = [rng.permutation(ITEMS) for _ in range(GROUPS)]
        self._users = random.Random(self.seed)
        self.history: list[Like] = []
        self._recent: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=RECENT))
        self.series: list[tuple[bool, bool]] = []
        for _ in range(self.first):
            self._learn(*self._drawn())
        self.models_by_number = {1: transitions(self.history)}

    def ratio(self, begin: int, end: int, *, frozen: bool = False) -> float:
        """The hit ratio of these likes after the first version was made."""
        return float(np.mean([each[frozen] for each in self.series[begin:end]]))

    def _drawn(self) -> Like:
        user = self._users.randrange(USERS)
        tastes = self._tastes if len(self.history) - self.first < self.flip_at else self._flipped
        place = int(np.searchsorted(self._cumulative, self._users.random()))
        return user, int(tastes[user % GROUPS][min(place, ITEMS - 1)])

    def _learn(self, user: int, item: int) -> None:
        self.history.append((user, item))
        self._recent[user].append(item)

    def _serve(self, worker: Worker) -> None:
        champion, challenger = worker.lineup.champion, worker.lineup.challenger
        number = champion.number if champion is not None else 1
        for _ in range(self.likes_a_tick):
            user, item = self._drawn()
            recent = self._recent[user]
            shown = hits(self.models_by_number[number], recent, item)
            frozen = hits(self.models_by_number[1], recent, item)
            if champion is not None and challenger is not None and not worker.lacking:
                canary = challenger.role == Role.CANARY and (user * 7919) % 1_000 < challenger.share * 1_000
                tried = hits(self.models_by_number[challenger.number], recent, item)
                given = Comparison(
                    id=str(len(self.comparisons)), list="l", scene="s", ts=self.now, champion=champion.version,
                    challenger=challenger.version, champion_hit=shown, challenger_hit=tried, canary=canary,
                )  # fmt: skip
                self.comparisons.append((given, self.now))
                worker.shown += canary
                shown = tried if canary else shown
            self.series.append((shown, frozen))
            self._learn(user, item)

    def _apply(self, action: Action, state: State) -> None:
        super()._apply(action, state)
        if isinstance(action, Train):
            self.models_by_number[action.number] = transitions(self.history[-WINDOW : -WINDOW // 10])
        elif isinstance(action, Judge):
            held = self.history[-WINDOW // 10 :]
            ratios = [self._offline(number, held) for number in (action.number, action.champion)]
            self._gates(action.number, "quality", passed=ratios[0] >= ratios[1] - 0.02)

    def _offline(self, number: int, likes: list[Like]) -> float:
        recent: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=RECENT))
        found = []
        for user, item in likes:
            found.append(hits(self.models_by_number[number], recent[user], item))
            recent[user].append(item)
        return float(np.mean(found))
