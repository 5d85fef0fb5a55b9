"""`ouzel learn` for versions of the scripted model, slow enough to be killed at any moment.

    python -m tests.faults.scripted_learner OPTIONS     # those of `ouzel learn`
    python -m tests.faults.scripted_learner JOB         # its child, in place of `deploy.learning.work`

The learner is the real one, with the real store, topics, training log and server. Its children read the log and copy
the champion's files instead of training, and every gate passes. A role is published late, so that a kill hits the time
between a verdict and its record.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from deploy.datasets.dataset import likes
from deploy.learning.job import Job, Judged
from inference.scorers.triton import TritonScorer
from inference.settings import ADAPTER
from inference.triton.server import MODEL
from inference.versions.store import RECORD, Gate, Learned, Version, VersionStore
from schemas.events import Event
from schemas.scoring import Candidate, ScoreRequest
from schemas.topics import EVENTS
from streams.training_log.reading import LogReader
from tests.faults.load import now_ms
from tests.faults.scorer import MODEL_PY
from tests.faults.scripts import version_name

TRAINING = "training"
TRAINING_SECONDS, WRITING_SECONDS, PUBLISHING_SECONDS = 1.0, 1.0, 0.5
"""How long a child trains and writes, and how late a role is published."""

ANSWER_SECONDS = 30.0


def learn() -> None:
    """The command line, changed in this process alone."""
    from deploy import cli
    from deploy.learning import parts, triton_server
    from deploy.learning.kafka_channel import KafkaChannel
    from inference.triton import repository as layout

    layout._MODEL = MODEL_PY
    triton_server.format_in = lambda name, repository: None  # scripted versions have no number format
    vars(parts)["MODULE"] = "tests.faults.scripted_learner"
    KafkaChannel.publish = _late(KafkaChannel.publish)  # type: ignore[assignment, method-assign]
    sys.argv[1:1] = ["learn"]
    cli.main()


def _late(publish: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
    async def published(*given: Any) -> int:
        await asyncio.sleep(PUBLISHING_SECONDS)
        return await publish(*given)

    return published


def train(job: Job) -> None:
    """Write a version with the parent's files, from all events in the log."""
    sys.stdout.write(f"{TRAINING} {job.number}\n")
    sys.stdout.flush()
    reading = LogReader(job.log).read(EVENTS.name, Event)
    events = list(reading)
    learned = tuple(
        Learned(topic=each.topic, partition=each.partition, first=each.first, behind=each.behind)
        for each in reading.ranges
    )
    time.sleep(TRAINING_SECONDS)
    source = sorted((Path(job.repository) / MODEL / str(job.other) / ADAPTER).iterdir())
    with VersionStore(Path(job.versions)).written(job.number) as folder:
        (folder / ADAPTER).mkdir()
        for each in source:
            (folder / ADAPTER / each.name).write_bytes(each.read_bytes())
            time.sleep(WRITING_SECONDS / len(source))
        version = Version(
            number=job.number, name=version_name(job.number), parent=job.other, kind=job.kind, made_ms=now_ms(),
            cut_ms=now_ms(), events=len(events), likes=sum(map(likes, events)), tests=1, learned=learned,
        )  # fmt: skip
        (folder / RECORD).write_bytes(msgspec.json.encode(version))


async def measure(job: Job) -> Gate:
    """Whether the version answers by its name."""
    scorer = TritonScorer(job.triton)
    request = ScoreRequest(session=1, scene="home", history=(), candidates=(Candidate("a film", "film-1"),))
    try:
        found = await scorer.score(request, timeout=ANSWER_SECONDS, number=job.number)
    finally:
        await scorer.close()
    passed = found.model_version == version_name(job.number)
    return Gate(name="answers", figure=1.0, threshold=1.0, passed=passed, text=f"It answers as {found.model_version}.")


def work(job: Job) -> None:
    if job.work == "train":
        train(job)
        return
    judged = Gate(name="judged", figure=1.0, threshold=1.0, passed=True, text="Every version passes.")
    gate = asyncio.run(measure(job)) if job.work == "measure" else judged
    Path(job.result).write_bytes(msgspec.json.encode(Judged(gates=[gate])))


if __name__ == "__main__":
    if sys.argv[1].startswith("{"):
        work(msgspec.json.decode(sys.argv[1], type=Job))
    else:
        learn()
