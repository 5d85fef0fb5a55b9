"""Item tokens through the whole path: what is published is described by the model in Triton, and comes into lists."""

import asyncio
import time
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from inference.triton.server import TritonServer
from schemas.codec import encode
from schemas.recommendations import Recommendation, Source
from schemas.topics import EVENTS, ITEMS, RECOMMENDATIONS
from tests.support.patience import PATIENCE
from tests.support.pipeline import Pipeline, click, films
from tests.support.workers import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow, pytest.mark.alone]

CATALOGUE = films()
NEW = films(len(CATALOGUE) + 1)[-1]
SECONDS = PATIENCE
"""For one new item, on a machine that has other things to do; a second is usual."""


async def described(worker: Worker, count: int, seconds: float) -> float:
    """Wait until the worker has `count` items described and none waits; the seconds that it took."""

    def done() -> bool:
        return worker.metric("ouzel_described_items_total") >= count and worker.series("ouzel_undescribed_items") == [
            0.0
        ]

    began = time.monotonic()
    await asyncio.to_thread(worker.until, done, f"{count} described items", seconds, every=0.1)
    return time.monotonic() - began


async def test_new_item_has_its_vector_in_seconds_and_lists_have_the_nearest_items(
    broker: Broker, tmp_path: Path, item_token_triton: TritonServer
) -> None:
    patient = {"list_deadline_ms": 20_000, "patience_ms": 20_000, "scoring_slots": 2}
    with Pipeline(broker, tmp_path, triton=item_token_triton.grpc, **patient) as path:
        await path.prepare(CATALOGUE)
        worker = path.start()
        await described(worker, len(CATALOGUE), PATIENCE)

        await path.send(ITEMS, [(NEW.id, encode(NEW))])
        took = await described(worker, len(CATALOGUE) + 1, SECONDS)
        print(f"the new item had its vector {took:.1f} s after it was published")

        event = click("ann", "film-3", 1)
        await path.send(EVENTS, [("ann", encode(event))])
        (made,) = await path.read(RECOMMENDATIONS, Recommendation, lambda out: len(out) == 1)
        assert made.degraded is None, path.log()
        assert made.model_version is not None
        assert len(made.entries) == 10
        assert all(Source.NEAREST in entry.sources for entry in made.entries)
        assert all(entry.model is not None for entry in made.entries)
