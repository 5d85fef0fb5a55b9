"""Synthetic trials whose truth is known: two versions of one quality, and versions with one fault each."""

from dataclasses import dataclass, replace

import numpy as np

from inference.off_policy.decisions import Decisions
from inference.versions.gates.trial import DEPTH, Floats, Ints, Measured, Trial

ITEMS, POOL = 400, 20


@dataclass(frozen=True)
class World:
    """What both versions meet. `policy` [D, POOL]: the logging policy, `odds` [D, POOL]: the true chance of a like."""

    users: Ints
    likes: Ints
    popularity: Ints
    difficulty: Floats
    policy: Floats
    odds: Floats
    chosen: Ints
    decisions: Decisions


def world(tests: int = 400, decisions: int = 2_000, seed: int = 0, exploration: float = 1.0) -> World:
    """Of the decisions, the share `exploration` is uniform over the pool, the rest is for its first item."""
    rng = np.random.default_rng(seed)
    users = np.sort(rng.integers(0, max(1, tests // 4), tests))
    policy = np.full((decisions, POOL), exploration / POOL)
    policy[:, 0] += 1.0 - exploration
    odds = rng.beta(1, 8, (decisions, POOL))
    chosen = (rng.random(decisions)[:, None] > policy.cumsum(1)).sum(1).clip(0, POOL - 1)
    rows = np.arange(decisions)
    return World(
        users=users,
        likes=rng.geometric(0.05, tests) - 1,
        popularity=np.floor(2_000 / np.arange(1, ITEMS + 1)).astype(np.int64),
        difficulty=rng.random(tests),
        policy=policy,
        odds=odds,
        chosen=chosen,
        decisions=Decisions(
            users=rng.integers(0, max(1, decisions // 5), decisions),
            rewards=(rng.random(decisions) < odds[rows, chosen]).astype(np.float64),
            propensities=policy[rows, chosen],
        ),
    )


def measured(
    of: World, rng: np.random.Generator, *, skill: float = 0.25, noise: float = 0.05, taste: float = 10.0
) -> Measured:
    """A version that finds the liked item in `skill` of the tests; `noise` sets twins apart. Its predictions are
    right, and its policy is a softmax of `taste` times the true chances."""
    tests = len(of.users)
    drawn = np.where(rng.random(tests) < noise, rng.random(tests), of.difficulty)
    places = np.where(drawn < skill, drawn / skill * DEPTH, DEPTH + (drawn - skill) * (ITEMS - DEPTH)).astype(np.int64)
    weights = 1.0 / np.arange(1, ITEMS + 1) ** 0.7
    keys = rng.exponential(size=(tests, ITEMS)) / weights
    predicted = rng.beta(1, 30, tests * DEPTH)
    logits = taste * of.odds + noise * rng.normal(size=of.odds.shape)
    policy = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return Measured(
        places=places.clip(0, ITEMS - 1),
        top=np.argsort(keys, axis=1)[:, :DEPTH].astype(np.int64),
        predicted=predicted,
        taken=rng.random(len(predicted)) < predicted,
        shown_to=np.repeat(of.users, DEPTH),
        chances=policy[np.arange(len(policy)), of.chosen],
    )


def trial(of: World, champion: Measured, challenger: Measured, rng: np.random.Generator) -> Trial:
    return Trial(
        champion=champion,
        challenger=challenger,
        users=of.users,
        likes=of.likes,
        popularity=of.popularity,
        agreement=1.0 - rng.exponential(0.001, 50),
        decisions=of.decisions,
    )


def twins(seed: int = 0, tests: int = 400, decisions: int = 2_000) -> Trial:
    """Two versions of one quality that differ by chance."""
    rng = np.random.default_rng((seed, 1))
    of = world(tests, decisions, seed)
    return trial(of, measured(of, rng), measured(of, rng), rng)


def same(seed: int = 0, tests: int = 400, decisions: int = 2_000) -> Trial:
    """A version against itself."""
    found = twins(seed, tests, decisions)
    return replace(found, challenger=found.champion)
