"""docs/reference/metrics.md: every metric of workers, other services and the model, from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from deploy.learning.metrics import LearnerMetrics
from streams.agents.mapping_metrics import MappingMetrics
from streams.metrics import Metrics
from streams.training_log.metrics import LogMetrics

HEAD = """\
# Metrics

Generated from the code by `make docs`. Counters end in `_total`; a histogram has `_bucket`, `_sum` and `_count`. No
label holds a user or an item. Alert rules are in [`deploy/prometheus/rules.yml`](../../deploy/prometheus/rules.yml).
"""
WORKER = """\
## Worker

On `/metrics` of each worker ([settings](settings.md): `OUZEL_WEB_PORT`, `OUZEL_WEB_TOKEN`).
"""
LOG = """\
## Training log

On `/metrics` of `ouzel log` ([settings](settings.md): `OUZEL_TRAINING_LOG_PORT`), on 127.0.0.1 only.
"""
MAPPING = """\
## Mapping

On `/metrics` of `ouzel mapping run` ([settings](settings.md): `OUZEL_MAPPING_PORT`), on 127.0.0.1 only.
"""
LEARNER = """\
## Learner

On `/metrics` of `ouzel learn --metrics-port PORT`, on 127.0.0.1.
"""
MODEL = """\
## Model

On tritonserver's metrics port, beside its own metrics. Each has the labels `model` and `version`.
"""


def metrics_page(root: Path) -> str:
    """The page, from the `Metrics` of the processes and the metric families in the checkout at `root`."""
    processes = ((WORKER, Metrics()), (LOG, LogMetrics()), (MAPPING, MappingMetrics()), (LEARNER, LearnerMetrics()))
    parts = [(head, sorted(_exported(metrics))) for head, metrics in processes]
    parts.append((MODEL, sorted(_model(root / "inference"))))
    return "\n".join([HEAD, *(text for head, rows in parts for text in (head, _table(rows), ""))])


def _table(rows: list[tuple[str, ...]]) -> str:
    if len(rows[0]) == 4:
        head = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    else:
        head = ["| metric | type | meaning |", "|---|---|---|"]
    return "\n".join([*head, *("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)])


def _exported(metrics: object) -> Iterator[tuple[str, ...]]:
    """Name, type, labels and help text of each metric of a process."""
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            metric = next(iter(value.describe()))
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in value._labelnames)
            yield f"`{name}`", metric.type, labels, metric.documentation


def _model(folder: Path) -> Iterator[tuple[str, ...]]:
    """Name, type and help text of each `MetricFamily`. Read, not imported: only Triton's stub can import them."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".MetricFamily"):
                given = {word.arg: word.value for word in node.keywords}
                kind = ast.unparse(given["kind"]).rpartition(".")[2].lower()
                meaning = str(ast.literal_eval(given["description"])).rstrip(".")
                yield f"`{ast.literal_eval(given['name'])}`", kind, f"{meaning}."
