"""What the model tells on tritonserver's metrics port beside the server's own. Imported inside Triton's stub only."""

import triton_python_backend_utils as pb_utils

from inference.shared import Counts


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
