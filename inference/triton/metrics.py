"""The model's metrics on tritonserver's metrics port. Imported inside Triton's stub only."""

import os

import triton_python_backend_utils as pb_utils

from inference.full_text.engine import Engine
from inference.item_tokens.engine import ItemTokenEngine
from inference.shared import Counts
from inference.transformer.number_format import Chosen
from inference.triton.environment import RESTARTS


class FormatMetrics:
    """The model's number format, the reason for it, and the measured time of each format."""

    def __init__(self, model: str, version: str, chosen: Chosen) -> None:
        labels = {"model": model, "version": version}
        settings = chosen.settings
        self._format = pb_utils.MetricFamily(
            name="ouzel_model_number_format",
            description="1 for the model's number format; the reason is timed, set or gpu",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._milliseconds = pb_utils.MetricFamily(
            name="ouzel_model_number_format_milliseconds",
            description="Time of one layer's matrix products in each number format when the model was loaded",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        named = {"format": settings.dtype.value, "reason": chosen.reason, "threads": str(settings.threads)}
        self._set = [self._format.Metric(labels={**labels, **named})]
        self._set[0].set(1)
        for dtype, took in chosen.milliseconds.items():
            self._set.append(self._milliseconds.Metric(labels={**labels, "format": dtype.value}))
            self._set[-1].set(took)


class RefusedMetrics:
    """Counts describe requests that were refused because the queue was full. For one thread."""

    def __init__(self, model: str, version: str) -> None:
        self._refused = pb_utils.MetricFamily(
            name="ouzel_describes_refused_total",
            description="Describe requests that were refused because the queue was full",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counter = self._refused.Metric(labels={"model": model, "version": version})

    def count(self, refused: int) -> None:
        """Add to the counter, with a call to the server that takes as long as refusing several requests."""
        if refused:
            self._counter.increment(refused)


class ReadMetrics:
    """Counts items read, by the source of their readings, and failures of the store. For one thread."""

    def __init__(self, model: str, version: str) -> None:
        labels = {"model": model, "version": version}
        self._items = pb_utils.MetricFamily(
            name="ouzel_items_read_total",
            description="Items whose readings came from the model or from the store of readings",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._failures = pb_utils.MetricFamily(
            name="ouzel_reading_store_failures_total",
            description="Failures to look up or store readings on disk; the log gives the reason",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counters = (
            self._items.Metric(labels={**labels, "from": "model"}),
            self._items.Metric(labels={**labels, "from": "store"}),
            self._failures.Metric(labels=labels),
        )
        self._told = Counts()

    def report(self, counts: Counts) -> None:
        """Set the metrics to `counts`."""
        for counter, now, before in zip(self._counters, counts, self._told, strict=True):
            if now > before:
                counter.increment(now - before)
        self._told = counts


class ShippedMetric:
    """Items whose tokens and vectors came with the version; the log says why a file of them was refused."""

    def __init__(self, model: str, version: str, engine: Engine | ItemTokenEngine) -> None:
        shipped, refused = (engine.shipped, engine.refused) if isinstance(engine, ItemTokenEngine) else (0, "")
        self._family = pb_utils.MetricFamily(
            name="ouzel_item_vectors_shipped",
            description="Items whose vectors came with the version and were not read",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._metric = self._family.Metric(labels={"model": model, "version": version})
        self._metric.set(shipped)
        if refused:
            pb_utils.Logger.log_warn(refused)


class RestartMetric:
    """Restarts by `ouzel triton serve` after the server exited by itself; 0 under another supervisor."""

    def __init__(self, model: str, version: str) -> None:
        self._family = pb_utils.MetricFamily(
            name="ouzel_triton_restarts_total",
            description="Restarts after the server exited by itself; the log gives its exit status",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._metric = self._family.Metric(labels={"model": model, "version": version})
        self._metric.increment(int(os.environ.get(RESTARTS, "0")))
