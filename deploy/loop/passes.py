"""One pass: the whole stream through a fresh broker, fresh workers and the model that it starts with, if any."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from deploy.errors import StartFailed, TooSlow
from deploy.local.brokers import Broker
from deploy.local.learner import fresh_repository, with_moved_cut
from deploy.local.stack import STALLED_SECONDS, Stage, until_folded
from deploy.local.steps import Step, Steps
from deploy.loop.companion import Companion, Learned
from deploy.loop.drive import Drive
from deploy.loop.judging import Account
from deploy.loop.split import Split
from deploy.replay.send import kafka_sink, send_history, send_items
from deploy.replay.watch import beside
from schemas.events import Event
from schemas.items import Item
from streams.clock import SYSTEM
from streams.settings import Settings

PARTITIONS = 4
SENT_AT_ONCE = 1_000
LOOK_SECONDS = 0.5
REPOSITORY = "loop"
"""The model repository of a pass, beside the usual one, with which it shares weights and readings."""

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Course:
    """What all passes of a run have in common. `start` is the folder of the start model and `dtype` its number format;
    empty where no pass needs a model. `settings` are those of the workers that differ from the default."""

    split: Split
    items: tuple[Item, ...]
    start: str
    dtype: str
    in_flight: int
    window: int
    workers: int
    settings: dict[str, Any]


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one pass, to be stored. `course` is the digest of what the run's passes have in common; the rest is
    as in `deploy.loop.judging`. `load` is the mean number of runnable processes on the machine over the last minute,
    before the first live event and after the last."""

    name: str
    course: str
    places: dict[str, int]
    sent: int
    lists: int
    lost: int
    late: int
    foreign: int
    given_up: int
    without_list: int
    degraded: dict[str, int]
    model_versions: dict[str, int]
    event_to_list_ms: dict[str, float | None]
    preparing_seconds: float
    seconds: float
    load: tuple[float, float]
    learned: Learned = Learned()


class Pass:
    """One pass on a stage."""

    def __init__(
        self, name: str, course: Course, companion: Companion, *, with_model: bool, learns: bool = False
    ) -> None:
        self.name = name
        self._course, self._companion = course, companion
        self._with_model, self._learns = with_model, learns
        # No event of the history is recent enough to trigger a list.
        self._history_ends_ms = SYSTEM.now_ms() - Settings().lists.trigger_max_age_ms
        split = course.split
        self._account = Account(
            frozenset(split.events[at].id for at in split.tests), float(Settings().lists.deadline_ms)
        )

    async def perform(self, folder: Path, models: Path, broker: Callable[[Path], Broker], steps: Steps) -> Passed:
        """Run the pass in `folder`, which must be empty. Raises `DeployError`, at once if a part exits."""
        with Stage(folder, models, broker(folder / "broker")) as stage:
            stage.repository = models / REPOSITORY
            stage.settings = dict(self._course.settings)
            if self._learns:
                moved = with_moved_cut(Path(self._course.start), folder / "start-model", self._moved_ms)
                stage.model = (str(moved), self._course.dtype)
                stage.control_key = folder / "control.key"
            elif self._with_model:
                stage.model = (self._course.start, self._course.dtype)
            else:
                stage.triton = ""
                stage.settings |= {"triton": "", "model_repository": ""}
            async with beside(_look_after(stage)):
                return await self._perform(stage, models, steps)

    @property
    def _moved_ms(self) -> int:
        """By how much the times of the history are moved."""
        return self._history_ends_ms - self._course.split.history[-1].ts

    async def _perform(self, stage: Stage, models: Path, steps: Steps) -> Passed:
        began = time.monotonic()
        split = self._course.split
        async with asyncio.TaskGroup() as tasks:
            if self._with_model:
                tasks.create_task(self._model(stage, models, steps))
            tasks.create_task(self._event_plane(stage, steps))
        if self._with_model:
            with steps.step("items") as step:
                await _described(stage, step, len(self._course.items))
        with steps.step("learner") as step:
            await self._companion.begin(stage, step)
        with steps.step("lists") as step:
            account, live = self._account, split.live
            ready = time.monotonic()
            load = os.getloadavg()[0]

            def tell() -> None:
                if account.lists % 10 == 0 or account.lists == len(live):
                    step.say(_progress(account, time.monotonic() - ready), account.lists, len(live))

            drive = Drive(
                account, self._companion, in_flight=self._course.in_flight, window=self._course.window, told=tell
            )
            async with kafka_sink(stage.broker.bootstrap) as sink:
                seconds = await drive.run(stage.broker.bootstrap, sink, live)
            learned = await self._companion.end()
        return Passed(
            name=self.name,
            course="",
            places=account.places,
            sent=account.sent,
            lists=account.lists,
            lost=account.lost,
            late=account.late,
            foreign=account.foreign,
            given_up=drive.given_up,
            without_list=account.without_list,
            degraded=dict(account.degraded),
            model_versions=dict(account.versions),
            event_to_list_ms={f"p{p}": account.event_to_list.percentile(p) for p in PERCENTILES},
            preparing_seconds=round(ready - began, 1),
            seconds=round(seconds, 1),
            load=(round(load, 2), round(os.getloadavg()[0], 2)),
            learned=learned,
        )

    async def _model(self, stage: Stage, models: Path, steps: Steps) -> None:
        with steps.step("model") as step:
            fresh_repository(models, REPOSITORY)
            # Its cut must lie before everything live, not only before what is judged.
            moved = self._moved_ms if self._learns else 0
            await stage.build_model(step, self._course.split.live[0].ts + moved)
            if stage.without_triton:
                raise StartFailed(f"the loop needs tritonserver: {stage.without_triton}")
            await stage.start_triton(step)

    async def _event_plane(self, stage: Stage, steps: Steps) -> None:
        with steps.step("broker") as step:
            await stage.start_broker(step, PARTITIONS)
        with steps.step("workers") as step:
            await stage.start_workers(step, self._course.workers)
        with steps.step("history") as step:
            await self._history(stage, step, self._course.split.history)

    async def _history(self, stage: Stage, step: Step, history: tuple[Event, ...]) -> None:
        async with kafka_sink(stage.broker.bootstrap) as sink:
            await send_items(sink, self._course.items)
            for start in range(0, len(history), SENT_AT_ONCE):
                step.say(f"{start:,} ratings sent", start, len(history))
                part = history[start : start + SENT_AT_ONCE]
                await send_history(sink, part, last_ms=history[-1].ts, ends_ms=self._history_ends_ms)
        await until_folded(stage, step, len(history))


async def _look_after(stage: Stage) -> None:
    """Raise `StartFailed` within a second of the exit of any part: without one, the figures would be of something
    else."""
    while True:
        sentence = stage.ended() or stage.triton_ended()
        if sentence is not None:
            raise StartFailed(sentence)
        await asyncio.sleep(LOOK_SECONDS)


async def _described(stage: Stage, step: Step, wanted: int) -> None:
    """Return when the workers have a vector of each item. Raises `TooSlow` if they come to a standstill."""
    most, deadline = -1, 0.0
    while (read := await stage.described()) < wanted:
        if read > most:
            most, deadline = read, time.monotonic() + STALLED_SECONDS
        elif time.monotonic() > deadline:
            raise TooSlow(f"the model read {read:,} of {wanted:,} items, then none. See the logs in {stage.folder}.")
        step.say(f"{read:,} of {wanted:,} items read by the model", read, wanted)
        await asyncio.sleep(LOOK_SECONDS)
    step.say(f"{wanted:,} items read by the model")


def _progress(account: Account, seconds: float) -> str:
    rate = account.lists / seconds if seconds > 0 else 0.0
    tests = len(account.places)
    hits = f"{account.hits / tests:.3f} of {tests:,} likes hit" if tests else "no like judged yet"
    trouble = f", {account.late:,} late" if account.late else ""
    degraded = account.degraded.total()
    trouble += f", {degraded:,} without the model" if degraded and degraded < account.lists else ""
    return f"{account.lists:,} lists, {rate:.1f}/s, {hits}{trouble}"
