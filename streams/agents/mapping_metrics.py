"""Every metric that `ouzel mapping run` exports. Labels are topics, reasons and partitions: no user, no item."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas.errors import Refusal
from streams.health.conditions import CAUSES
from streams.mapping.outcomes import SKIPS

OUTCOMES = ("mapped", "withdrawn", "skipped", "rejected")


class MappingMetrics:
    """The metrics of one process that reads `topics`, on `registry` (default: a new one)."""

    def __init__(self, topics: Iterable[str] = (), registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        reg = self.registry
        self.mapped = Counter(
            "ouzel_mapped_records",
            "Records by outcome. One that is mapped to an event and to an item, or to several topics, counts as often.",
            ["topic", "outcome"],
            registry=reg,
        )
        self.skipped = Counter(
            "ouzel_mapping_skipped_records",
            "Skipped records by reason: rule and kind (the file says so), tombstone (a null value), operation (of "
            "Debezium).",
            ["topic", "reason"],
            registry=reg,
        )
        self.dead_letters = Counter("ouzel_dead_letters", "Refused inputs, by reason code.", ["code"], registry=reg)
        self.oversized = Counter(
            "ouzel_oversized_records",
            "Records not published because they exceed their topic's maximum size, by topic.",
            ["topic"],
            registry=reg,
        )
        self.lost = Counter(
            "ouzel_lost_records", "Records deleted by retention before they were read.", ["topic"], registry=reg
        )
        self.unserved = Gauge(
            "ouzel_unserved",
            "Conditions that prevent mapping, by topic (empty: all) and cause.",
            ["topic", "cause"],
            registry=reg,
        )
        self.lag = Gauge(
            "ouzel_mapping_lag_records", "Records not mapped yet, by partition.", ["topic", "partition"], registry=reg
        )
        self.failures = Counter(
            "ouzel_mapping_failures",
            "Failed attempts to read, send or commit, by cause. They are repeated until they succeed.",
            ["cause"],
            registry=reg,
        )
        self.schemas = Counter(
            "ouzel_mapping_schema_requests",
            "Schemas requested from the registry, by answer.",
            ["answer"],
            registry=reg,
        )
        self.preset(topics)
        for code in Refusal:
            self.dead_letters.labels(code.value)
        for cause in CAUSES:
            self.unserved.labels("", cause)
            self.failures.labels(cause)
        for answer in ANSWERS:
            self.schemas.labels(answer)

    def preset(self, topics: Iterable[str]) -> None:
        """Begin the series of these topics at 0."""
        for topic in topics:
            for outcome in OUTCOMES:
                self.mapped.labels(topic, outcome)
            for reason in SKIPS:
                self.skipped.labels(topic, reason)
            self.lost.labels(topic)


ANSWERS = ("schema", "unknown", "unusable", "failed")
"""A schema; that there is none with the id; one that cannot be used; no answer."""
