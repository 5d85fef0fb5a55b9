"""`python -m deploy.learning.work JOB`: the child process that trains, judges or measures one version.

JOB is a `deploy.learning.job.Job` in JSON. Progress goes to standard output; a failure is one sentence there and exit
status 1.
"""

import asyncio
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import torch

from deploy.commands.options import connection
from deploy.datasets.dataset import feeling
from deploy.errors import expected
from deploy.learning.adapter import OWN_TERMS, texts
from deploy.learning.catalogue import read_catalogue, read_receipts
from deploy.learning.completion import EngineCompletion
from deploy.learning.evidence import Evidence, evidence_of
from deploy.learning.gates import VersionGates, WeightsLoader
from deploy.learning.job import Job, Judged
from deploy.learning.versions import FULL, ITEMS, Options, Parent, make_version
from deploy.local.priority import NICENESS, lower_priority
from inference.errors import WeightsError
from inference.item_tokens.vectors import write_vectors
from inference.scorers.triton import TritonScorer
from inference.settings import ADAPTER, DType, ModelSettings, readings_of
from inference.training.histories import Histories, owners
from inference.training.learner import Base
from inference.training.validation import new_likes
from inference.transformer.number_format import choose
from inference.transformer.weights import read_manifest
from inference.triton.repository import settings_of, weights_of
from inference.triton.server import MODEL
from inference.versions.gates.held_out import HeldOut, logged, sampled
from inference.versions.gates.measuring import SHORTLIST
from inference.versions.store import FIRST, Learned, VersionStore
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.items import Item
from schemas.topics import EVENTS, FEEDBACK
from streams.training_log.log_files import Range
from streams.training_log.reading import Days, LogReader

LEAST_GROUP = 30
"""Tests of a group below which it is left out."""


def served_settings(repository: Path, names: list[str]) -> ModelSettings:
    """The settings that versions are served with: those of the first, with the number format that is part of the
    `names` that versions report, or else the one that is faster here."""
    settings, weights = settings_of(repository), weights_of(repository)
    if settings.dtype is DType.AUTO:
        manifest = read_manifest(weights)
        for dtype in (DType.BF16, DType.FP32):
            if any(name.startswith(manifest.version(dtype)) for name in names):
                return msgspec.structs.replace(settings, dtype=dtype)
        return choose(settings, weights).settings
    return settings


@dataclass
class Work:
    """What a job works with; each part is read when it is needed. `read` are the ranges of the log that were read."""

    job: Job
    read: tuple[Range, ...] = ()

    @cached_property
    def store(self) -> VersionStore:
        return VersionStore(Path(self.job.versions))

    @cached_property
    def repository(self) -> Path:
        return Path(self.job.repository)

    @cached_property
    def settings(self) -> ModelSettings:
        """As served, with the threads of the job."""
        names = [self.store.record(number).name for number in self.store.numbers()]
        if not names:
            names = [asyncio.run(self._name_of_first())]
        found = served_settings(self.repository, names)
        return msgspec.structs.replace(found, threads=self.job.threads)

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return asyncio.run(read_catalogue(self.job.brokers, connection(), self.job.timeout))

    @cached_property
    def feedback(self) -> list[Feedback]:
        reading = LogReader(self.job.log).read(FEEDBACK.name, Feedback, days=self.days)
        found = list(reading)
        self.read += reading.ranges
        return found

    @property
    def days(self) -> Days:
        return Days.newest(self.job.days, datetime.now(UTC).date())

    @cached_property
    def evidence(self) -> Evidence:
        reading = LogReader(self.job.log).read(EVENTS.name, Event, days=self.days)
        events = list(reading)
        self.read += reading.ranges
        feedback = self.feedback  # it repeats reactions whose events may be logged later
        learned = tuple(
            Learned(topic=each.topic, partition=each.partition, first=each.first, behind=each.behind)
            for each in self.read
        )
        receipts, unread = asyncio.run(read_receipts(self.job.brokers, connection(), self.job.timeout))
        if unread:
            told(f"{unread} receipts of erasure orders cannot be read: their users are not left out", 0, 0)
        return evidence_of(events, feedback, self.items, receipts, learned=learned, most=self.job.most)

    def adapter_of(self, number: int) -> Path:
        """The adapter's folder of a version; of one that is not in the store, that in Triton's repository."""
        folder = self.store.folder(number) / ADAPTER
        return folder if folder.is_dir() else self.repository / MODEL / str(number) / ADAPTER

    @property
    def options(self) -> Options:
        options = ITEMS if self.job.kind == "items" else FULL
        effort = msgspec.structs.replace(options.effort, seconds=self.job.seconds, replay=self.job.replay)
        return msgspec.structs.replace(options, effort=effort)

    def train(self) -> None:
        job, settings = self.job, self.settings
        weights, readings = weights_of(self.repository), readings_of(self.repository, settings)
        made = make_version(
            self.store,
            Parent(job.other, self.adapter_of(job.other)),
            self.evidence,
            base=Base(weights, readings, msgspec.structs.replace(settings, device=job.device)),
            complete=EngineCompletion(weights, settings, readings, write_vectors),
            options=self.options,
            number=job.number,
            progress=told,
        )
        told(f"{made.version.name}: {made.held_out.challenger.figures}", 1, 1)

    def judge(self) -> Judged:
        torch.set_num_threads(1)
        gates = asyncio.run(self._gates(self.evidence_of(self.job.number)).judge(self.job.number, self.job.other))
        return Judged(gates=gates)

    async def measure(self, held: HeldOut) -> Judged:
        scorer = TritonScorer(self.job.triton)
        try:
            return Judged(gates=await self._gates(held, scorer).measure(self.job.number, self.job.other))
        finally:
            await scorer.close()

    def evidence_of(self, number: int) -> HeldOut:
        """The likes after the newest event that a version learned."""
        evidence, record = self.evidence, self.store.record(number)
        stream = evidence.dataset.events
        ids = [item.id for item in evidence.dataset.items]
        histories = Histories.of(stream, ids, feeling)
        begin = int(np.searchsorted(histories.ts, record.cut_ms, side="right"))
        tests = sampled(new_likes(histories, begin, len(histories)), self.job.tests)
        labels = [set(item.attributes) for item in evidence.dataset.items]
        liked = histories.item[tests].tolist()
        groups = {label: np.array([label in labels[item] for item in liked], np.bool_) for label in self.job.groups}
        scenes = np.array([stream[test].scene for test in tests.tolist()])
        if len(set(scenes.tolist())) > 1:
            groups |= {f"scene {scene}": scenes == scene for scene in sorted(set(scenes.tolist()))}
        return HeldOut(
            histories=histories,
            texts=texts(evidence.dataset.items),
            tests=tests,
            learned=begin,
            lists=logged(self.feedback, histories, owners(stream), self.job.tests),
            groups={name: inside for name, inside in groups.items() if inside.sum() >= LEAST_GROUP},
        )

    def _gates(self, held: HeldOut, scorer: TritonScorer | None = None) -> VersionGates:
        settings = msgspec.structs.replace(self.settings, threads=1)
        return VersionGates(
            store=self.store,
            loader=WeightsLoader(weights_of(self.repository), settings, readings_of(self.repository, settings)),
            evidence=lambda number: held,
            adapter_of=self.adapter_of,
            scorer=scorer or TritonScorer(self.job.triton),
            clock=time.monotonic,
            data=f"the training log; {self.evidence.dataset.note}",
            terms=OWN_TERMS,
            shortlist=min(SHORTLIST, settings.max_candidates),
        )

    async def _name_of_first(self) -> str:
        """What the version that `ouzel triton build` made reports; empty if the server does not answer."""
        from inference.triton.model_control import CALL_SECONDS  # noqa: PLC0415
        from schemas.scoring import ScoreRequest, ScoringError  # noqa: PLC0415

        scorer = TritonScorer(self.job.triton)
        asked = ScoreRequest(session=0, scene="default", history=(), candidates=())
        try:
            return (await scorer.score(asked, timeout=CALL_SECONDS, number=FIRST)).model_version
        except ScoringError:
            return ""
        finally:
            await scorer.close()


def told(label: str, done: int, total: int) -> None:
    print(f"{done} {total} {label}", flush=True)  # noqa: T201 - the parent's log


def main(text: str) -> int:
    job = msgspec.json.decode(text, type=Job)
    if job.device == "cpu":
        lower_priority(NICENESS)
    work = Work(job)
    try:
        if job.work == "train":
            work.train()
            return 0
        try:
            judged = work.judge() if job.work == "judge" else _measured(work)
        except WeightsError as error:
            judged = Judged(refused=str(error))
        Path(job.result).write_bytes(msgspec.json.encode(judged))
    except Exception as error:
        sentence = expected(error)
        if sentence is None:
            raise
        print(sentence, flush=True)  # noqa: T201
        return 1
    return 0


def _measured(work: Work) -> Judged:
    held = work.evidence_of(work.job.number)
    _ = work.settings  # before the loop that `measure` runs in
    return asyncio.run(work.measure(held))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
