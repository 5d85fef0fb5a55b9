"""Metrics that a worker reads from its parts at each scrape."""

from pathlib import Path

from inference.scorers.triton import TritonScorer
from streams.app import create_app
from streams.settings import Settings


def test_requests_for_versions_that_are_not_loaded_are_counted_once_each(tmp_path: Path) -> None:
    app = create_app(Settings.make(state_dir=tmp_path))

    def counted() -> float | None:
        app.refresh()
        return app.metrics.registry.get_sample_value("ouzel_unloaded_version_requests_total")

    assert counted() == 0
    scorer = TritonScorer("127.0.0.1:1")
    app._scorer = scorer
    for total in (3, 3, 5):
        scorer.unnamed_instead = total
        assert counted() == total
