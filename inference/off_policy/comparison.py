"""All estimates of target policies on one log, beside the logged policy, with what the log cannot tell. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from inference.off_policy.decisions import Decisions, Modeled, direct_method, doubly_robust, ips, snips
from inference.off_policy.diagnosis import Needs, Overlap, doubts
from inference.off_policy.intervals import anytime, bootstrap
from inference.off_policy.lists import Lists, cascade_doubly_robust, independent, reward_interaction, standard
from inference.off_policy.rewards import RewardModel, from_here_down
from inference.off_policy.terms import Floats, Ints, Terms, mean_of
from inference.off_policy.weights import products, ratios

LOGGED = "logged"
DR, CASCADE, SNIPS, NORMALIZED = "doubly robust", "cascade doubly robust", "SNIPS", "reward-interaction SNIPS"
DECISIVE = (CASCADE, DR, NORMALIZED, SNIPS)
"""The estimator that a verdict is about: the first that there is."""


class Target(NamedTuple):
    """What a target policy does with logged lists: `chances` float64 [L, K] of the items, each given those above, and
    `added` [L, K], what the items that it would place there add to the modeled reward on average; None if only the
    chances of logged items are known."""

    chances: Floats
    added: Floats | None


class Estimate(NamedTuple):
    """A policy's value by one estimator: the sum of the rewards of a list, or the reward of a decision.

    The ends of intervals are None where they cannot be computed. `difference`: to the logged policy. `overlap` is None
    for the logged policy, and for estimates without weights.
    """

    policy: str
    estimator: str
    value: float
    low: float | None
    high: float | None
    difference: float
    lowest: float | None
    highest: float | None
    overlap: Overlap | None


class Verdict(NamedTuple):
    """`says` is better, worse, undecided or unknown; `why` has a sentence for each doubt. `anytime`: the bounds that
    hold at every length of the log, if asked for."""

    policy: str
    estimator: str
    says: str
    why: tuple[str, ...]
    anytime: tuple[float, float] | None


class _Estimated(NamedTuple):
    """An estimate before it has an interval; `weights` [L] are not clipped, None if it has none."""

    estimator: str
    terms: Terms
    weights: Floats | None
    clip: float = math.inf


class Comparison(NamedTuple):
    """The estimates of all policies, the logged one first, and a verdict on each target."""

    estimates: tuple[Estimate, ...]
    verdicts: tuple[Verdict, ...]
    certain: float


class Options(NamedTuple):
    """`clip` bounds the weights of clipped estimates. `anytime`: also compute bounds that hold at every moment."""

    clip: float = 100.0
    needs: Needs = Needs()
    anytime: bool = False


USUAL = Options()


def compare(
    lists: Lists,
    items: Ints,
    targets: Mapping[str, Target],
    model: RewardModel,
    rng: np.random.Generator,
    *,
    options: Options = USUAL,
) -> Comparison:
    """Every estimate of every target, with paired intervals over users. `items` int64 [L, K]; below 0 where a place is
    not filled. Lists of one place are decisions."""
    named = [(LOGGED, _Estimated("mean", mean_of(lists.earned), None))]
    for name, target in targets.items():
        of = _decisions if items.shape[1] == 1 else _lists
        named += [(name, each) for each in of(lists, items, target, model, options.clip)]
    found = bootstrap([each.terms for _, each in named], lists.users, rng)
    logged = named[0][1].terms.value
    estimates = tuple(
        Estimate(
            name,
            each.estimator,
            each.terms.value,
            *ends,
            each.terms.value - logged,
            *differences,
            None if each.weights is None else Overlap.of(each.weights, lists.earned, each.clip),
        )
        for (name, each), ends, differences in zip(named, found.values, found.differences, strict=True)
    )
    filled = lists.propensities[lists.filled]
    certain = float((filled == 1).mean()) if len(filled) else 1.0
    verdicts = tuple(
        _verdict(name, target, estimates, lists, certain=certain, options=options) for name, target in targets.items()
    )
    return Comparison(estimates, verdicts, certain)


def _decisions(lists: Lists, items: Ints, target: Target, model: RewardModel, clip: float) -> list[_Estimated]:
    of, chances = Decisions(lists.users, lists.rewards[:, 0], lists.propensities[:, 0]), target.chances[:, 0]
    weights = ratios(chances, of.propensities)
    found = [
        _Estimated("IPS", ips(of, chances), weights),
        _Estimated(f"IPS, clipped at {clip:g}", ips(of, chances, clip), weights, clip),
        _Estimated(SNIPS, snips(of, chances), weights),
    ]
    if target.added is not None:
        modeled = Modeled(model.taken(items)[:, 0], model.expected(target.added, items)[:, 0])
        found.append(_Estimated("direct method", direct_method(modeled), None))
        found.append(_Estimated(DR, doubly_robust(of, chances, modeled), weights))
    return found


def _lists(lists: Lists, items: Ints, target: Target, model: RewardModel, clip: float) -> list[_Estimated]:
    chances = target.chances
    each = ratios(chances, lists.propensities)
    down = products(each)[:, -1]
    found = [
        _Estimated("standard IPS", standard(lists, chances), down),
        _Estimated("reward-interaction IPS", reward_interaction(lists, chances), down),
        _Estimated(f"the same, clipped at {clip:g}", reward_interaction(lists, chances, clip), down, clip),
        _Estimated(NORMALIZED, reward_interaction(lists, chances, normalized=True), down),
        _Estimated("one place at a time, SNIPS", independent(lists, chances, normalized=True), _least(each)),
    ]
    if target.added is not None:
        taken, expected = from_here_down(model.taken(items), model.expected(target.added, items))
        found.append(_Estimated(CASCADE, cascade_doubly_robust(lists, chances, taken, expected), down))
    return found


def _least(weights: Floats) -> Floats:
    """The weights of the place with the smallest effective sample."""
    sizes = [Overlap.of(column, column, math.inf).effective for column in weights.T]
    return np.asarray(weights[:, int(np.argmin(sizes))], np.float64)


def _verdict(
    name: str, target: Target, estimates: Sequence[Estimate], lists: Lists, *, certain: float, options: Options
) -> Verdict:
    own = {each.estimator: each for each in estimates if each.policy == name}
    main = own[next(each for each in DECISIVE if each in own)]
    assert main.overlap is not None
    why = doubts(main.overlap, certain, options.needs)
    if not math.isfinite(main.value):
        says = "unknown"
        why = why or ["no logged list could be one of the target's"]
    elif why:
        says = "unknown"
    elif main.lowest is None or main.highest is None:
        says, why = "undecided", ["no interval: rewards or users are too few"]
    else:
        says = "better" if main.lowest > 0 else "worse" if main.highest < 0 else "undecided"
    bounds = _anytime(lists, target.chances, options.clip) if options.anytime else None
    return Verdict(name, main.estimator, says, tuple(why), bounds)


def _anytime(lists: Lists, chances: Floats, clip: float) -> tuple[float, float] | None:
    """By the weights of whole lists. Each reward is taken to be at least 0 if none is below, else at least -1; at most
    1, or the largest power of 10 that the log needs."""
    if not len(lists):
        return None
    size = float(10 ** max(0, math.ceil(math.log10(max(1e-9, np.abs(lists.rewards).max())))))
    places = lists.rewards.shape[1]
    least = 0.0 if (lists.rewards >= 0).all() else -size * places
    weights = products(ratios(chances, lists.propensities))[:, -1]
    bounds = anytime(weights, lists.earned, least=least, most=size * places, clip=clip)[-1]
    return bounds.low, bounds.high
