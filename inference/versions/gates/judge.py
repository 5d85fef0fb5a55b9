"""All gates of a trial, in the order in which they stop a version: cheapest first. Pure."""

from collections.abc import Sequence

import numpy as np

from inference.versions.gates.breadth import breadth
from inference.versions.gates.calibration import calibration
from inference.versions.gates.groups import worst_group
from inference.versions.gates.loading import finite
from inference.versions.gates.off_policy import off_policy
from inference.versions.gates.quality import quality
from inference.versions.gates.rounding import rounding
from inference.versions.gates.thresholds import Thresholds
from inference.versions.gates.trial import Trial
from inference.versions.store import Gate

DEFAULT = Thresholds()


def judge(trial: Trial, thresholds: Thresholds, rng: np.random.Generator) -> list[Gate]:
    """All gates, also after one that fails, so that the card has every figure."""
    return [
        finite(trial),
        rounding(trial, thresholds, rng),
        *quality(trial, thresholds, rng),
        off_policy(trial, thresholds, rng),
        calibration(trial, thresholds, rng),
        *breadth(trial, thresholds, rng),
        worst_group(trial, thresholds),
    ]


def passed(gates: Sequence[Gate]) -> bool:
    """Whether all gates passed. A version without gates has not been judged."""
    return bool(gates) and all(gate.passed for gate in gates)


def stopped_by(gates: Sequence[Gate]) -> Gate | None:
    """The first gate that failed: the reason why a version gets no traffic."""
    return next((gate for gate in gates if not gate.passed), None)
