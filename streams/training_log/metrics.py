"""Every metric that `ouzel log` exports. Labels are topics, partitions and codes: no user, no item."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.training_log.log_files import LOGGED

TOPIC = ["topic"]


class LogMetrics:
    """The metrics of one process, on `registry` (default: a new one)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        reg = self.registry
        self.rows = Counter("ouzel_log_rows", "Rows written to the training log.", TOPIC, registry=reg)
        self.files = Counter("ouzel_log_files", "Files written with new rows.", TOPIC, registry=reg)
        self.bytes = Counter("ouzel_log_bytes", "Size of these files.", TOPIC, registry=reg)
        self.rejected = Counter(
            "ouzel_log_rejected_records",
            "Records left out of the training log, by reason code (order: erase events).",
            ["topic", "code"],
            registry=reg,
        )
        self.expired = Counter(
            "ouzel_log_expired_records",
            "Records left out because they are older than OUZEL_TRAINING_LOG_DAYS.",
            TOPIC,
            registry=reg,
        )
        self.lost = Counter(
            "ouzel_log_lost_records", "Records deleted from the topic before they were logged.", TOPIC, registry=reg
        )
        self.erased = Counter("ouzel_log_erased_rows", "Rows removed for erasure orders.", TOPIC, registry=reg)
        self.orders = Gauge("ouzel_log_erasure_orders", "Erasure orders in force: receipts on the topic.", registry=reg)
        self.merged = Counter("ouzel_log_merged_files", "Small files replaced by larger ones.", TOPIC, registry=reg)
        self.deleted = Counter("ouzel_log_deleted_files", "Files deleted after their retention.", TOPIC, registry=reg)
        self.failures = Counter(
            "ouzel_log_failures", "Failed attempts to write, rewrite or delete files; they are retried.", registry=reg
        )
        self.lag = Gauge(
            "ouzel_log_lag_records", "Records not read yet, by partition.", ["topic", "partition"], registry=reg
        )
        self.buffered = Gauge("ouzel_log_buffered_bytes", "Rows in memory that are in no file yet.", registry=reg)
        for topic in LOGGED:
            for each in (self.rows, self.files, self.bytes, self.expired, self.lost, self.erased, self.merged,
                         self.deleted):  # fmt: skip
                each.labels(topic)
