"""The pipeline under load: a broker, a tritonserver with the shipped adapter, workers, and users with histories."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.errors import DeployError
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.stack import Stage
from deploy.local.steps import Steps
from deploy.replay.send import kafka_sink, send_history, send_items
from streams.clock import SYSTEM
from tests.benchmarks.load.driving import catalogue, events

MODELS = Path(".ouzel/models")
DAY_MS = 86_400_000
READY_SECONDS = 900.0
BROKERS = {"embedded": EmbeddedBroker, "kafka": KafkaBroker}


@dataclass(frozen=True)
class Size:
    """The size of a pipeline. `partitions` are those of ouzel.events and ouzel.items; `past` is the mean number of
    earlier events per user."""

    people: int = 2_000
    items: int = 500
    partitions: int = 4
    past: int = 10


@asynccontextmanager
async def pipeline(
    size: Size, broker: str, workers: int = 1, settings: Mapping[str, Any] | None = None
) -> AsyncIterator[Stage]:
    """Start a pipeline, fold the past and read the items; `settings` are more of the workers. Raises `DeployError`."""
    folder = Path(tempfile.mkdtemp(prefix="ouzel-load-"))
    with Stage(folder, MODELS, BROKERS[broker](folder / "broker")) as stage, Steps(Console(stderr=True)) as steps:
        stage.settings = dict(settings or {})
        with steps.step("model") as step:
            await stage.build_model(step, SYSTEM.now_ms())
            await stage.start_triton(step)
        with steps.step("broker") as step:
            await stage.start_broker(step, size.partitions)
        with steps.step("workers") as step:
            await stage.start_workers(step, workers)
        count = size.past * size.people
        with steps.step("items and past") as step:
            async with kafka_sink(stage.broker.bootstrap) as sink:
                await send_items(sink, catalogue(size.items))
                source = events(size.people, size.items, seed=0, ts=0)
                past = [next(source) for _ in range(count)]
                await send_history(sink, past, last_ms=past[-1].ts, ends_ms=SYSTEM.now_ms() - DAY_MS)
            deadline = time.monotonic() + READY_SECONDS
            while await stage.folded() < count or await stage.undescribed():
                stage.check()
                if time.monotonic() > deadline:
                    raise DeployError(f"the pipeline was not ready in {READY_SECONDS:g} s; see the logs in {folder}")
                step.say(f"{await stage.folded():,} of {count:,} events folded")
                await asyncio.sleep(0.2)
        yield stage


def resident_mib(pid: int) -> float:
    """The anonymous memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        anonymous = next(line for line in file if line.startswith("RssAnon"))
    return int(anonymous.split()[1]) / 1024


def processor_seconds(pid: int) -> float:
    """The CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
