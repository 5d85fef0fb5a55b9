"""What the model tells on tritonserver's metrics port beside the server's own. Imported inside Triton's stub only."""

import os

import triton_python_backend_utils as pb_utils

from inference.shared import Counts
from inference.transformer.number_format import Chosen
from inference.triton.environment import RESTARTS


class FormatMetrics:
    """The number format that the model runs in, why, and what each format took where it was timed."""

    def __init__(self, model: str, version: str, chosen: Chosen) -> None:
        labels = {"model": model, "version": version}
        settings = chosen.settings
        self._format = pb_utils.MetricFamily(
            name="ouzel_model_number_format",
            description="1 for the number format that the model runs in; the reason is timed, set or gpu",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._milliseconds = pb_utils.MetricFamily(
            name="ouzel_model_number_format_milliseconds",
            description="What one layer's matrix products took in each number format when the model was loaded",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        named = {"format": settings.dtype.value, "reason": chosen.reason, "threads": str(settings.threads)}
        self._set = [self._format.Metric(labels={**labels, **named})]
        self._set[0].set(1)
        for dtype, took in chosen.milliseconds.items():
            self._set.append(self._milliseconds.Metric(labels={**labels, "format": dtype.value}))
            self._set[-1].set(took)


class RefusedMetrics:
    """Questions about items that were refused for want of room. For one thread."""

    def __init__(self, model: str, version: str) -> None:
        self._refused = pb_utils.MetricFamily(
            name="ouzel_describes_refused_total",
            description="Questions about items that were refused because too many waited",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counter = self._refused.Metric(labels={"model": model, "version": version})

    def count(self, refused: int) -> None:
        """Asks the server, which takes as long as to refuse several questions."""
        if refused:
            self._counter.increment(refused)


class ReadMetrics:
    """Items read, by where their readings came from, and failures of the store. For one thread."""

    def __init__(self, model: str, version: str) -> None:
        labels = {"model": model, "version": version}
        self._items = pb_utils.MetricFamily(
            name="ouzel_items_read_total",
            description="Items whose readings came from the model, or from the store of what was read before",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._failures = pb_utils.MetricFamily(
            name="ouzel_reading_store_failures_total",
            description="Times that readings could not be looked up or kept on disk; the log says why",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._counters = (
            self._items.Metric(labels={**labels, "from": "model"}),
            self._items.Metric(labels={**labels, "from": "store"}),
            self._failures.Metric(labels=labels),
        )
        self._told = Counts()

    def report(self, counts: Counts) -> None:
        """Have the metrics stand at `counts`."""
        for counter, now, before in zip(self._counters, counts, self._told, strict=True):
            if now > before:
                counter.increment(now - before)
        self._told = counts


class RestartMetric:
    """How often `ouzel triton serve` has started the server again after it ended by itself; 0 under another one."""

    def __init__(self, model: str, version: str) -> None:
        self._family = pb_utils.MetricFamily(
            name="ouzel_triton_restarts_total",
            description="Times that the server ended by itself and was started again; the log says how it ended",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._metric = self._family.Metric(labels={"model": model, "version": version})
        self._metric.increment(int(os.environ.get(RESTARTS, "0")))
