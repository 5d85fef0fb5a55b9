"""Compare target policies on a log: of files, or the training log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deploy.errors import BadSource
from deploy.evaluation.live_ranking import SETTINGS
from deploy.off_policy import popularity
from deploy.off_policy.decision_log import DecisionLog, walked
from deploy.off_policy.files import read_log, read_target
from deploy.off_policy.replayed import NO_MODEL, replayed
from deploy.off_policy.training_log import Logged
from inference.off_policy.comparison import LOGGED, Comparison, Options, Target, compare
from inference.off_policy.rewards import RewardModel, fit
from inference.versions.store import VersionStore
from streams.ranking.settings import Ranking

POPULARITY = popularity.NAME
NAMED = (NO_MODEL, POPULARITY)


@dataclass(frozen=True)
class Targets:
    """The policies to compare: those of `named`, `versions` of the store by number, and `files` by the policy's name.
    `temperature` divides scores before the softmax."""

    named: Sequence[str] = ()
    versions: Sequence[int] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    temperature: float = 0.5


def compare_file(
    path: Path, targets: Targets, options: Options, seed: int, *, columns: Mapping[str, str], places: int | None
) -> tuple[Comparison, DecisionLog]:
    """The comparison on a file of logged decisions. Raises `BadSource`."""
    if targets.versions or NO_MODEL in targets.named:
        raise BadSource("a file of decisions has no histories: --target no-model and version:N need --log.")
    log = read_log(path, columns, places)
    model, rng = _fitted(log, seed)
    found: dict[str, Target] = {}
    if POPULARITY in targets.named:
        found |= walked(log, model, popularity.popularity(log, targets.temperature))
    return compare(log.lists, log.items, found | _of_files(targets, log, model), model, rng, options=options), log


def compare_log(
    of: Logged,
    targets: Targets,
    options: Options,
    seed: int,
    *,
    store: VersionStore | None = None,
    repository: Path | None = None,
    settings: Ranking = SETTINGS,
) -> Comparison:
    """The comparison on the training log. `store` and `repository` are needed for versions."""
    model, rng = _fitted(of.log, seed)
    found: dict[str, Target] = {}
    if targets.named:
        scored = replayed(of.lists, of.events, of.items, targets.temperature, settings)
        asked = walked(of.log, model, ({name: each[name] for name in targets.named} for each in scored))
        found |= {name: asked[name] for name in targets.named}
    for number in targets.versions:
        from deploy.off_policy.versions import version_scores  # noqa: PLC0415 - imports torch

        assert store is not None
        assert repository is not None
        found |= walked(of.log, model, version_scores(number, of, store, repository, targets.temperature))
    return compare(of.log.lists, of.log.items, found | _of_files(targets, of.log, model), model, rng, options=options)


def _fitted(log: DecisionLog, seed: int) -> tuple[RewardModel, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return fit(log.lists, log.items, len(log.names), rng), rng


def _of_files(targets: Targets, log: DecisionLog, model: RewardModel) -> dict[str, Target]:
    return {name: read_target(path, log, model, {}) for name, path in targets.files.items()}


def parsed(given: Sequence[str], temperature: float, *, of_file: bool) -> Targets:
    """The targets that --target names. Raises `BadSource` for one that does not exist."""
    named: list[str] = []
    versions: list[int] = []
    files: dict[str, Path] = {}
    for text in given or ((POPULARITY,) if of_file else NAMED):
        name, equals, rest = text.partition("=")
        kind, colon, number = text.partition(":")
        if text in NAMED:
            named.append(text)
        elif equals and name and rest and name not in {*NAMED, LOGGED}:
            files[name] = Path(rest)
        elif kind == "version" and colon and number.isdecimal() and 0 < int(number) < 2**31:
            versions.append(int(number))
        else:
            raise BadSource(f"--target takes no-model, popularity, version:N or NAME=FILE, not {text[:80]!r}.")
    return Targets(tuple(dict.fromkeys(named)), tuple(dict.fromkeys(versions)), files, temperature)
