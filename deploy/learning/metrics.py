"""The learner's metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge

from inference.versions.drift import Finding
from inference.versions.rules import Rules
from inference.versions.state import State
from schemas.models import Role


class LearnerMetrics:
    """Metrics in a separate registry. `show` sets those that follow from the state."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.made = Counter("ouzel_learn_versions", "Versions made, by kind.", ["kind"], registry=registry)
        self.training_seconds = Counter(
            "ouzel_learn_training_seconds", "Seconds spent training versions, by kind.", ["kind"], registry=registry
        )
        self.verdicts = Counter(
            "ouzel_learn_verdicts",
            "What happened to versions: shadow, canary, promoted, rejected, withdrawn, rolled_back, retired.",
            ["event"],
            registry=registry,
        )
        self.failures = Counter(
            "ouzel_learn_failures", "Steps that failed and are tried again or given up, by step.", ["step"],
            registry=registry,
        )  # fmt: skip
        self.role = Gauge(
            "ouzel_learn_version_number", "Number of the version in this role; 0 if none.", ["role"], registry=registry
        )
        self.pairs = Gauge(
            "ouzel_learn_pairs", "Likes that the challenger's test in this stage rests on.", registry=registry
        )
        self.difference = Gauge(
            "ouzel_learn_hit_ratio_difference",
            "The challenger's hit ratio minus the champion's in this stage: mean, low and high bound.",
            ["bound"],
            registry=registry,
        )
        self.lists = Gauge(
            "ouzel_learn_canary_lists", "Lists that workers published in the canary's order.", registry=registry
        )
        self.waiting = Gauge(
            "ouzel_learn_waiting_likes", "Likes in the training log that no version learned.", registry=registry
        )
        self.workers = Gauge("ouzel_learn_live_workers", "Workers whose acknowledgement is recent.", registry=registry)
        self.ignored = Gauge(
            "ouzel_learn_ignored_comparisons",
            "Comparisons that did not count: of another version, or from before the stage began.",
            registry=registry,
        )

        self.drift = Gauge(
            "ouzel_learn_drift", "1 if the champion drifts in this measure, else 0.", ["measure"], registry=registry
        )
        self.drift_figure = Gauge(
            "ouzel_learn_drift_figure",
            "Change of hit ratio or calibration since the champion began: mean, low and high bound. Of the other "
            "measures, the population stability index: mean.",
            ["measure", "bound"],
            registry=registry,
        )
        self.drift_lists = Gauge(
            "ouzel_learn_drift_lists", "Lists of the champion that its drift rests on.", registry=registry
        )

    def trained(self, kind: str, seconds: float) -> None:
        self.made.labels(kind).inc()
        self.training_seconds.labels(kind).inc(seconds)

    def show_drift(self, lists: int, found: Iterable[Finding]) -> None:
        self.drift_lists.set(lists)
        for each in found:
            self.drift.labels(each.measure).set(each.drifted)
            for bound, value in (("mean", each.figure), ("low", each.low), ("high", each.high)):
                if value is not None:
                    self.drift_figure.labels(each.measure, bound).set(value)

    def show(self, state: State, rules: Rules, now: int) -> None:
        for role, number in _numbers(state):
            self.role.labels(role).set(number)
        found = state.test.judge(rules) if state.test is not None else None
        self.pairs.set(found.pairs if found is not None else 0)
        for bound in ("difference", "low", "high"):
            value = getattr(found, bound) if found is not None else float("nan")
            self.difference.labels("mean" if bound == "difference" else bound).set(value)
        self.lists.set(state.shown())
        self.waiting.set(state.growth.likes if state.growth is not None else 0)
        self.workers.set(len(state.live(rules, now)))
        self.ignored.set(state.ignored)


def _numbers(state: State) -> Iterator[tuple[str, int]]:
    champion, challenger = state.lineup.champion, state.lineup.challenger
    yield Role.CHAMPION, champion.number if champion is not None else 0
    for role in (Role.SHADOW, Role.CANARY):
        yield role, challenger.number if challenger is not None and challenger.role == role else 0
