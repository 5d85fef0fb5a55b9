"""`make demo`: real films and real people's ratings through the whole path, live in the terminal.

The first part of MovieLens-100K's ratings is sent at full speed as past, the rest is replayed live, in the order in
which it happened, and every list that comes out is judged on what the person likes next.
"""

import asyncio
import fcntl
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy import movielens, pacing
from deploy.brokers import EmbeddedBroker, KafkaBroker
from deploy.errors import DeployError
from deploy.replay import Pace, kafka_sink, send_history, send_items
from deploy.stage import Stage
from deploy.steps import Step, Steps
from deploy.watch import Watch, on_signals, tell_summary
from inference.client import TritonScorer
from schemas.events import Event
from streams.clock import SYSTEM
from streams.settings import Settings

PARTITIONS = 4
FRAMES_PER_SECOND = 4
LEARN_AT_ONCE = 500
FOLD_SECONDS = 300.0
DESCRIBE_SECONDS = 300.0
IN_PROCESS_SPEED = 3.0
"""Events a second where a worker scores in its own process and cannot be timed from here."""


@dataclass(frozen=True)
class Options:
    """What can be asked of the demo.

    `seconds` is how long the live part lasts, None for until the data ends or Ctrl-C; `events_per_second`, how fast it
    goes, None for what the model keeps up with here; `history`, the share of the ratings that is past when it begins;
    `seed` orders what happened in the same second.
    """

    seconds: float | None = None
    events_per_second: float | None = None
    history: float = 0.8
    seed: int = 0
    workers: int = 1
    broker: str = "embedded"
    work: Path = Path(".ouzel")
    json: Path | None = None


def run(options: Options, console: Console) -> int:
    """Run the demo to its end; the exit status: 0 after its time or Ctrl-C in the live part, 130 after Ctrl-C before.

    Raises `DeployError` with the operator's next step. No process is left behind in any case.
    """
    try:
        return asyncio.run(_run(options, console))
    except* DeployError as failed:
        first: BaseException = failed
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        cause = first
    raise cause


async def _run(options: Options, console: Console) -> int:
    with claimed(options.work / "demo") as folder:
        logging.basicConfig(filename=folder / "demo.log", level=logging.WARNING)
        kinds = {"embedded": EmbeddedBroker, "kafka": KafkaBroker}
        with Stage(folder, options.work / "models", kinds[options.broker](folder / "broker")) as stage:
            demo = Demo(options, console, stage)
            with on_signals(demo.interrupt):
                try:
                    figures = await demo.perform()
                except asyncio.CancelledError:
                    console.print("stopped")
                    return 130
            console.print("ending all parts ...", style="grey58")
    tell_summary(figures, console, options.json)
    return 0


class Demo:
    """One run on a stage."""

    def __init__(self, options: Options, console: Console, stage: Stage) -> None:
        self._options = options
        self._console = console
        self._stage = stage
        self._films = movielens.items()
        self._watch = Watch(console, parts=self._parts(), seconds=options.seconds, check=stage.check)
        self._live = False
        self._task = asyncio.current_task()

    def interrupt(self) -> None:
        """Ctrl-C or SIGTERM: the live part ends with its summary; anything else, or the second time, is broken off."""
        ended = self._live and self._watch.end()
        if not ended and self._task is not None:
            self._task.cancel()

    async def perform(self) -> dict[str, Any]:
        """Prepare, replay, and return the figures."""
        ratings = movielens.events(self._options.seed)
        cut = round(len(ratings) * self._options.history)
        history, live = ratings[:cut], ratings[cut:]
        for film in self._films:
            self._watch.item(film)
        with Steps(self._console) as steps:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._model(steps, live[0].ts if live else history[-1].ts))
                tasks.create_task(self._event_plane(steps, history))
            await self._described(steps)
            pace = Pace(events_per_second=self._options.events_per_second or await self._speed(steps))
        bootstrap = self._stage.broker.bootstrap
        async with kafka_sink(bootstrap) as sink:
            self._live = True
            figures = await self._watch.run(bootstrap, sink, live, pace)
        return {**figures, "history": cut, "judged": await self._stage.judged()}

    async def _model(self, steps: Steps, judged_from_ms: int) -> None:
        with steps.step("model") as step:
            await self._stage.build_model(step, judged_from_ms)
            if self._stage.without_triton:
                # A line of its own: what does not fit beside a bar is cut off.
                self._console.print(f"Scoring in-process: {self._stage.without_triton}", highlight=False)
                step.say("scoring in-process")
            else:
                await self._stage.start_triton(step)

    async def _event_plane(self, steps: Steps, history: Sequence[Event]) -> None:
        with steps.step("broker") as step:
            await self._stage.start_broker(step, PARTITIONS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._workers(steps))
            tasks.create_task(self._past(steps, history))
        with steps.step("contexts and counts") as step:
            await self._folded(step, len(history))

    async def _workers(self, steps: Steps) -> None:
        with steps.step("workers") as step:
            await self._stage.start_workers(step, self._options.workers)

    async def _past(self, steps: Steps, history: Sequence[Event]) -> None:
        # No part of the past is young enough to be answered with a list.
        ends_ms = SYSTEM.now_ms() - Settings().trigger_max_age_ms
        with steps.step("films and history") as step:
            async with kafka_sink(self._stage.broker.bootstrap) as sink:
                await send_items(sink, self._films)
                for start in range(0, len(history), LEARN_AT_ONCE):
                    step.say(f"{start:,} ratings sent", start, len(history))
                    part = history[start : start + LEARN_AT_ONCE]
                    await send_history(sink, part, last_ms=history[-1].ts, ends_ms=ends_ms)
            step.say(f"{len(self._films):,} films, {len(history):,} ratings")
        with steps.step("baselines") as step:
            for start in range(0, len(history), LEARN_AT_ONCE):
                step.say(f"{start:,} ratings learned", start, len(history))
                for event in history[start : start + LEARN_AT_ONCE]:
                    self._watch.past(event)
                await asyncio.sleep(0)
            step.say("the simple methods have learned the same")

    async def _folded(self, step: Step, wanted: int) -> None:
        deadline = time.monotonic() + FOLD_SECONDS
        while (done := await self._stage.folded()) < wanted:
            self._stage.check()
            if time.monotonic() > deadline:
                raise DeployError(
                    f"the workers folded {done:,} of {wanted:,} ratings in {FOLD_SECONDS:g} s; see their logs"
                )
            step.say(f"{done:,} ratings folded and counted", done, wanted)
            await asyncio.sleep(1 / FRAMES_PER_SECOND)
        step.say(f"{wanted:,} ratings folded and counted")

    async def _described(self, steps: Steps) -> None:
        with steps.step("item tokens") as step:
            began = await self._stage.undescribed()
            deadline = time.monotonic() + DESCRIBE_SECONDS
            while left := await self._stage.undescribed():
                self._stage.check()
                if time.monotonic() > deadline:
                    step.say(f"{left:,} items are not read yet; lists begin without them")
                    return
                step.say(f"{len(self._films) - left:,} films read", began - left, began)
                await asyncio.sleep(1 / FRAMES_PER_SECOND)
            step.say(f"{len(self._films):,} films read by the model")

    async def _speed(self, steps: Steps) -> float:
        """Events a second that the model can keep up with, measured where it can be asked from here."""
        if not self._stage.triton:
            return IN_PROCESS_SPEED
        with steps.step("speed") as step:
            scorer = TritonScorer(self._stage.triton)
            try:
                took = await pacing.seconds_a_list(scorer, self._films, step)
            finally:
                await scorer.close()
            chosen = pacing.speed(took)
            answer = "the model does not answer" if took is None else f"{took * 1000:,.0f} ms a list with the model"
            step.say(f"{answer}: {chosen:.1f} events a second")
            deadline = Settings().list_deadline_ms
            if took is None or took * 1000 > deadline:
                self._console.print(
                    f"Too slow for the deadline of {deadline:,} ms: most lists will come without the model."
                )
        return chosen

    def _parts(self) -> str:
        model = "in-process scoring" if self._stage.without_triton else "Triton"
        broker = {"embedded": "embedded broker", "kafka": "Apache Kafka"}[self._stage.broker.name]
        workers = f"{self._options.workers} workers" if self._options.workers > 1 else "1 worker"
        return f"MovieLens-100K · {broker} · {workers} · {model}"


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """An empty folder for this run alone. Raises `DeployError` while another run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError(f"another demo runs in {folder.parent}. End it, or take another folder.") from None
        shutil.rmtree(folder)
        folder.mkdir()
        yield folder
