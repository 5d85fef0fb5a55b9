"""`make demo`: real films and real people's ratings through the whole path, live in the terminal.

The first part of MovieLens-100K's ratings is sent at full speed as past, the rest is replayed live, in the order in
which it happened, and every list that comes out is judged on what the person likes next.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.live import Live

from deploy import movielens, pacing
from deploy.board import Board
from deploy.brokers import EmbeddedBroker, KafkaBroker
from deploy.errors import DeployError
from deploy.judge import Judge, Ranker
from deploy.replay import KafkaSink, Pace, kafka_sink, send_history, send_items, send_live
from deploy.stage import Stage
from deploy.steps import Step, Steps
from deploy.view import Show, View, line, summary, summary_table
from inference.client import TritonScorer
from inference.evaluation.floors import ItemKnn, Markov, Popularity
from schemas.codec import decode
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.items import Item
from schemas.recommendations import Recommendation
from schemas.topics import DEAD_LETTERS, RECOMMENDATIONS
from streams.clock import SYSTEM
from streams.settings import Settings

PARTITIONS = 4
FRAMES_PER_SECOND = 4
LINE_SECONDS = 5.0
LAST_LISTS_SECONDS = 1.5
"""How long lists may still come in after the last event."""
LEARN_AT_ONCE = 500
FOLD_SECONDS = 300.0
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
            with _on_signals(demo.interrupt):
                try:
                    figures = await demo.perform()
                except asyncio.CancelledError:
                    console.print("stopped")
                    return 130
            console.print("ending all parts ...", style="grey58")
    console.print(summary_table(figures))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"written to {options.json}", style="grey58")
    return 0


class Demo:
    """One run on a stage."""

    def __init__(self, options: Options, console: Console, stage: Stage) -> None:
        self._options = options
        self._console = console
        self._stage = stage
        self._board = Board()
        self._films = movielens.items()
        self._judge = Judge(rankers(self._films))
        self._over = asyncio.Event()
        self._live = False
        self._task = asyncio.current_task()

    def interrupt(self) -> None:
        """Ctrl-C or SIGTERM: the live part ends with its summary; anything else, or the second time, is broken off."""
        if self._live and not self._over.is_set():
            self._over.set()
        elif self._task is not None:
            self._task.cancel()

    async def perform(self) -> dict[str, Any]:
        """Prepare, replay, and return the figures."""
        ratings = movielens.events(self._options.seed)
        cut = round(len(ratings) * self._options.history)
        history, live = ratings[:cut], ratings[cut:]
        titles = {film.id: film.title for film in self._films}
        with Steps(self._console) as steps:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._model(steps))
                tasks.create_task(self._event_plane(steps, history))
            pace = Pace(events_per_second=self._options.events_per_second or await self._speed(steps))
        show = Show(self._board, self._judge, titles, self._parts(), self._options.seconds)
        async with kafka_sink(self._stage.broker.bootstrap) as sink, self._drawn(show), self._received():
            await self._replay(sink, live, pace)
        return {**summary(self._board, self._judge.verdict()), "history": cut}

    async def _model(self, steps: Steps) -> None:
        with steps.step("model") as step:
            await self._stage.build_model(step)
            if self._stage.without_triton:
                step.say(f"scoring in-process: {self._stage.without_triton}")
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
                    self._judge.learn(event)
                    self._board.history(event)
                await asyncio.sleep(0)
            step.say(f"{', '.join(self._judge.rankers)} have learned the same")

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

    async def _replay(self, sink: KafkaSink, live: Sequence[Event], pace: Pace) -> None:
        """Send the live part until it is over, by time, by its end, or by Ctrl-C; then let the last lists come in."""
        self._live = True
        sending = asyncio.create_task(send_live(sink, live, pace, before=self._before))
        ending = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({sending, ending}, timeout=self._options.seconds, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            self._over.set()
        finally:
            sending.cancel()
            ending.cancel()
            await asyncio.wait({sending, ending})
        await asyncio.sleep(LAST_LISTS_SECONDS)

    def _before(self, event: Event) -> None:
        self._judge.about_to_send(event)
        self._board.sent(event, time.monotonic())

    @asynccontextmanager
    async def _received(self) -> AsyncIterator[None]:
        """Lists and dead letters are taken in while this lasts; the parts are looked after."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._stage.broker.bootstrap, fetch_max_wait_ms=100)
        await consumer.start()
        try:
            partitions = [TopicPartition(RECOMMENDATIONS.name, n) for n in range(PARTITIONS)]
            partitions.append(TopicPartition(DEAD_LETTERS.name, 0))
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            async with _beside(self._take_in(consumer)), _beside(self._look_after()):
                yield
        finally:
            await consumer.stop()

    async def _take_in(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            if record.topic == DEAD_LETTERS.name:
                self._board.refused(decode(DeadLetter, record.value))
                continue
            made = decode(Recommendation, record.value)
            self._judge.published(made)
            self._board.came(made, time.monotonic())

    async def _look_after(self) -> None:
        while True:
            self._stage.check()
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def _drawn(self, show: Show) -> AsyncIterator[None]:
        """The live picture, or a line now and then, while this lasts."""
        began = time.monotonic()

        async def draw(live: Live) -> None:
            while True:
                now = time.monotonic()
                live.update(View(show, now - began, now), refresh=True)
                await asyncio.sleep(1 / FRAMES_PER_SECOND)

        async def tell() -> None:
            while True:
                await asyncio.sleep(LINE_SECONDS)
                now = time.monotonic()
                self._console.print(line(show, now - began, now), soft_wrap=True, highlight=False)

        if self._console.is_terminal:
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                async with _beside(draw(live)):
                    yield
        else:
            async with _beside(tell()):
                yield


def rankers(films: Sequence[Item]) -> Mapping[str, Ranker]:
    """The simple methods that are judged beside Ouzel, by their names in the figures; they know the whole catalogue."""
    methods = {"popularity": Popularity(), "markov": Markov(), "item_knn": ItemKnn()}
    for method in methods.values():
        method.offer([film.id for film in films])
    return methods


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    """Do `work` while the block runs; the block ends with it if it fails."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield
        finally:
            task.cancel()


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


@contextmanager
def _on_signals(interrupt: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError):
                loop.remove_signal_handler(number)
