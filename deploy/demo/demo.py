"""`make demo`: real films and ratings through the whole pipeline, live in the terminal.

The first part of MovieLens-100K's ratings is sent at full speed as history. The rest is replayed live in its original
order, and every list is judged on what the user likes next.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.datasets import movielens
from deploy.demo.speed import AdaptivePace, SteadyPace
from deploy.errors import StartFailed, expected
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.learner import fresh_repository, start_learner, with_moved_cut
from deploy.local.stack import Stage, claimed, until_folded
from deploy.local.steps import Steps
from deploy.replay.catalogue_reading import Reading
from deploy.replay.send import kafka_sink, send_history, send_items, shifted
from deploy.replay.stats import why_without_model
from deploy.replay.versions_watch import follow_versions
from deploy.replay.watch import Watch, beside, on_signals, tell_summary
from inference.item_tokens.adapter import locate
from inference.settings import ModelSettings
from inference.versions.store import VersionStore
from schemas.events import Event
from schemas.seen import ALL, NEVER, seen_rules
from schemas.shown import shown
from streams.clock import SYSTEM
from streams.log_lines import LogLines
from streams.settings import Settings

PARTITIONS = 4
FRAMES_PER_SECOND = 4
LEARN_AT_ONCE = 500
LOOK_SECONDS = 0.5
"""Interval of checks that all parts run."""

READING_SECONDS = 2.0
"""Interval at which the live part updates the reading progress."""


CONNECTIONS = 256
"""Connections to a worker: more than a hundred open pages, with one or two each."""

REPOSITORY = "demo"
"""The model repository of a demo that learns, beside the usual one."""

RULES = (
    *("--train-minutes", "1", "--replay", "0.3"),
    *("--full-likes", "500", "--items-likes", "10000000", "--items-minutes", "0"),
    *("--margin", "0.15", "--shadow-pairs", "40", "--canary-likes", "10", "--share", "0.5"),
)
"""Options of `ouzel learn` for minutes rather than days: it learns less, and decides sooner with a wider margin."""


@dataclass(frozen=True)
class Options:
    """Options of the demo.

    `seconds`: duration of the live part; None: until the data ends or Ctrl-C. `events_per_second`: its speed; None:
    adapted to this machine. `history`: the share of ratings that are history when it begins. `seed` orders events of
    the same second. `seen_again` and `seen_kinds` are as in the settings of a worker. With `learn`, a learner makes
    versions of the model while the demo runs.
    """

    seconds: float | None = None
    events_per_second: float | None = None
    history: float = 0.9
    learn: bool = True
    seed: int = 0
    workers: int = 1
    broker: str = "embedded"
    work: Path = Path(".ouzel")
    json: Path | None = None
    seen_again: str = NEVER
    seen_kinds: str = ALL


def run(options: Options, console: Console) -> int:
    """Run the demo and return the exit status: 0 at the end of the live part or after Ctrl-C in it, 130 after an
    earlier Ctrl-C, 1 after a failure, which is printed with the next step before the parts are stopped.

    Raises `DeployError` if it cannot start. Leaves no process behind in any case.
    """
    return asyncio.run(_run(options, console))


async def _run(options: Options, console: Console) -> int:
    with claimed(options.work / "demo") as folder:
        if not logging.root.handlers:
            logging.basicConfig(filename=folder / "demo.log", level=logging.WARNING)
            logging.root.handlers[0].setFormatter(LogLines(logging.BASIC_FORMAT))
        kinds = {"embedded": EmbeddedBroker, "kafka": KafkaBroker}
        figures: dict[str, Any] | None = None
        status = 0
        with Stage(folder, options.work / "models", kinds[options.broker](folder / "broker")) as stage:
            if options.learn and not stage.without_triton:
                stage.control_key = folder / "control.key"
            stage.settings = {
                "seen_again": options.seen_again,
                "seen_kinds": options.seen_kinds,
                "web_page": "on",
                "web_api": "on",
                "web_max_connections": CONNECTIONS,
            }
            demo = Demo(options, console, stage)
            with on_signals(demo.interrupt):
                try:
                    figures = await demo.perform()
                except asyncio.CancelledError:
                    console.print("stopped")
                    status = 130
                except Exception as error:
                    # A part that exited is the cause of other errors.
                    sentence = demo.ended() or expected(error)
                    if sentence is None:
                        raise
                    demo.tell(sentence)
                    status = 1
            console.print("stopping all parts ...", style="grey58")
    if figures is not None:
        tell_summary(figures, console, options.json)
        why = why_without_model(figures, Settings().lists.deadline_ms, folder / "tritonserver.log")
        if why:
            console.print(why, soft_wrap=True)
    return status


class Demo:
    """One run on a stage."""

    def __init__(self, options: Options, console: Console, stage: Stage) -> None:
        self._options = options
        self._console = console
        self._stage = stage
        self._films = movielens.items()
        speed = options.events_per_second
        self._pace = AdaptivePace() if speed is None else SteadyPace(speed)
        self._watch = Watch(
            console,
            parts=self._parts(),
            seconds=options.seconds,
            seen=seen_rules(options.seen_again, options.seen_kinds),
            on_list=self._pace.came,
        )
        self._reading = Reading(len(self._films))
        # No event of the history is recent enough to trigger a list.
        self._history_ends_ms = SYSTEM.now_ms() - Settings().lists.trigger_max_age_ms
        self._live = False
        self._told = False
        self._task = asyncio.current_task()

    def interrupt(self) -> None:
        """Handle Ctrl-C or SIGTERM: end the live part with its summary; before it, or the second time, cancel."""
        ended = self._live and self._watch.end()
        if not ended and self._task is not None:
            self._task.cancel()

    async def perform(self) -> dict[str, Any]:
        """Prepare, replay, and return the figures. Raises `DeployError`, at once if a required part exits."""
        ratings = movielens.events(self._options.seed)
        cut = round(len(ratings) * self._options.history)
        history, live = ratings[:cut], ratings[cut:]
        for film in self._films:
            self._watch.item(film)
        async with beside(self._look_after()):
            with Steps(self._console) as steps:
                async with asyncio.TaskGroup() as tasks:
                    model = tasks.create_task(self._model(steps, history, live))
                    tasks.create_task(self._event_plane(steps, history, model))
                begun = await self._read_enough(steps)
            bootstrap = self._stage.broker.bootstrap
            async with (
                kafka_sink(bootstrap) as sink,
                beside(self._follow_reading()),
                beside(follow_versions(bootstrap, self._watch.versions)),
            ):
                self._live = True
                figures = await self._watch.run(bootstrap, sink, live, self._pace)
            read = {"of": len(self._films), "begin": begun, "end": await self._stage.described()}
            judged = await self._stage.judged()
        versions = self._watch.versions.figures()
        return {
            **figures,
            "versions": versions,
            "slowed": self._pace.slowed,
            "films_read": read,
            "history": cut,
            "judged": judged,
        }

    def tell(self, sentence: str) -> None:
        """Print why the demo ends; only the first call prints."""
        if not self._told:
            self._told = True
            self._console.print(f"ouzel: {shown(sentence)}", style="red", markup=False, highlight=False, soft_wrap=True)

    def ended(self) -> str | None:
        """The message for a required part that exited; None if all run."""
        return self._stage.ended() or (None if self._live else self._stage.triton_ended())

    async def _look_after(self) -> None:
        """Report within a second a part that exited, whatever the demo is doing.

        Without a broker or a worker there are no lists. Without tritonserver lists continue once they have begun.
        """
        while True:
            if (sentence := self.ended()) is not None:
                # At once: clients of the part may take long to give up.
                if self._live and self._console.is_terminal:
                    self._watch.notes.warning = sentence.partition(". ")[0]
                else:
                    self.tell(sentence)
                raise StartFailed(sentence)
            without = self._stage.triton_ended()
            if without is not None and not self._watch.notes.warning:
                how, _, lines = without.partition(". ")
                self._watch.warn(f"{how}: lists continue without the model", lines)
            await asyncio.sleep(LOOK_SECONDS)

    async def _model(self, steps: Steps, history: Sequence[Event], live: Sequence[Event]) -> None:
        stage, judged_from_ms = self._stage, live[0].ts if live else history[-1].ts
        with steps.step("model") as step:
            await stage.build_model(step, judged_from_ms)
            if stage.without_triton:
                # On a separate line: a note beside a bar is cut off at the terminal's width.
                self._console.print(f"Scoring in-process: {stage.without_triton}", highlight=False)
                step.say("scoring in-process")
                return
            if stage.control_key is not None:
                moved = self._history_ends_ms - history[-1].ts
                adapter = with_moved_cut(locate(ModelSettings().adapter), stage.folder / "adapter", moved)
                stage.model = (str(adapter.resolve()),)
                stage.repository = fresh_repository(stage.repository.parent, REPOSITORY)
                await stage.build_model(step, judged_from_ms + moved)
            await stage.start_triton(step)

    async def _event_plane(self, steps: Steps, history: Sequence[Event], model: asyncio.Task[None]) -> None:
        with steps.step("broker") as step:
            await self._stage.start_broker(step, PARTITIONS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._workers(steps))
            tasks.create_task(self._past(steps, history))
        await model  # it settles where the learner puts versions, and which events the model has learned
        if self._stage.control_key is not None and not self._stage.without_triton:
            with steps.step("learner") as step:
                await start_learner(self._stage, step, VersionStore(self._stage.folder / "versions"), RULES)
        with steps.step("contexts and counts") as step:
            await until_folded(self._stage, step, len(history))

    async def _workers(self, steps: Steps) -> None:
        with steps.step("workers") as step:
            await self._stage.start_workers(step, self._options.workers)
        addresses = " and ".join(self._stage.addresses)
        self._watch.notes.pages = addresses
        said = f"The page for users: {addresses}; the HTTP API is under /v1"
        self._console.print(said, highlight=False, soft_wrap=True)

    async def _past(self, steps: Steps, history: Sequence[Event]) -> None:
        ends_ms = self._history_ends_ms
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
                    self._watch.past(shifted(event, ends_ms - history[-1].ts))
                await asyncio.sleep(0)
            step.say(f"{len(history):,} ratings learned")

    async def _read_enough(self, steps: Steps) -> int:
        """Wait until enough films are read for useful lists; return how many. The rest is read during the live part."""
        began = time.monotonic()
        with steps.step("films read") as step:
            while not self._reading.enough(read := await self._stage.described(), time.monotonic() - began):
                step.say(self._reading.told(read, time.monotonic()), read, len(self._films))
                await asyncio.sleep(1 / FRAMES_PER_SECOND)
            rest = "" if read == len(self._films) else "; the rest is read while lists go out"
            step.say(f"{read:,} of {len(self._films):,} films read by the model{rest}")
        return read

    async def _follow_reading(self) -> None:
        """Show the reading progress in the view until all films are read."""
        notes = self._watch.notes
        while (read := await self._stage.described()) < len(self._films) and not notes.warning:
            notes.reading = self._reading.told(read, time.monotonic())
            await asyncio.sleep(READING_SECONDS)
        notes.reading = ""

    def _parts(self) -> str:
        model = "in-process scoring" if self._stage.without_triton else "Triton"
        broker = {"embedded": "embedded broker", "kafka": "Apache Kafka"}[self._stage.broker.name]
        workers = f"{self._options.workers} workers" if self._options.workers > 1 else "1 worker"
        return f"MovieLens-100K · {broker} · {workers} · {model}"
