"""A live replay that is watched: events go out, lists come in and are judged, and the terminal shows both."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from deploy.kafka.asking import TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from deploy.replay.judge import Judge
from deploy.replay.scoreboard import Board
from deploy.replay.send import KafkaSink, Paced, send_live
from deploy.replay.stats import summary, summary_table
from deploy.replay.terminal import Notes, Show, View, line
from inference.evaluation.baselines import ItemKnn, Markov, Popularity
from schemas.codec import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.events import Event
from schemas.items import Item
from schemas.recommendations import Recommendation
from schemas.seen import PLAIN, SeenRules
from schemas.shown import shown
from schemas.topics import DEAD_LETTERS, RECOMMENDATIONS
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered

RIGHTS = {RECOMMENDATIONS.name: "Read", DEAD_LETTERS.name: "Read"}
"""What a watch does with which topic."""

FRAMES_PER_SECOND = 4
LINE_SECONDS = 5.0
LAST_LISTS_SECONDS = 1.5
"""How long lists may still come in after the last event."""


class Watch:
    """One watched replay. Tell it of the catalogue (`item`) and of the past (`past`) before `run`.

    It keeps every person's last list and what they met: about 10 KiB a person.
    """

    def __init__(
        self,
        console: Console,
        *,
        parts: str,
        seconds: float | None,
        seen: SeenRules = PLAIN,
        on_list: Callable[[Recommendation], None] = lambda _: None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._timeout = timeout
        self.notes = Notes()
        self._console = console
        self._parts = parts
        self._seconds = seconds
        self._on_list = on_list
        self._board = Board()
        self._methods = {"popularity": Popularity(), "markov": Markov(), "item_knn": ItemKnn()}
        self._judge = Judge(self._methods, seen)
        self._titles: dict[str, str] = {}
        self._over = asyncio.Event()

    def item(self, item: Item) -> None:
        """Take in an item of the catalogue: its title, and that it can be recommended."""
        self._titles[item.id] = item.title
        for method in self._methods.values():
            method.offer([item.id])

    def past(self, event: Event) -> None:
        """Take in an event that was sent as past: nothing is judged on it."""
        self._judge.learn(event)
        self._board.history(event)

    def end(self) -> bool:
        """End the live part now, with its summary; whether it was not over already."""
        first = not self._over.is_set()
        self._over.set()
        return first

    def warn(self, sentence: str, more: str = "") -> None:
        """Show a sentence from now on; `more`, where it is told at once, are lines about it."""
        self.notes.warning = sentence
        if not self._console.is_terminal:
            self._console.print(shown(f"{sentence}\n{more}".rstrip()), highlight=False, markup=False, soft_wrap=True)

    async def run(
        self, bootstrap: str, sink: KafkaSink, live: Iterable[Event], pace: Paced, connection: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        """Send the live events until `seconds` are over, none is left, or `end` is called; return the figures.

        `on_list` is called with every list. Raises `DeployError` where the brokers do not answer.
        """
        show = Show(self._board, self._judge, self._titles, self._parts, self._seconds, self.notes)
        async with self._drawn(show), self._received(bootstrap, connection):
            seconds = await self._replay(sink, live, pace)
        return summary(self._board, self._judge.verdict(), seconds)

    async def _replay(self, sink: KafkaSink, live: Iterable[Event], pace: Paced) -> float:
        """For how many seconds events went out."""
        began = time.monotonic()
        sending = asyncio.create_task(send_live(sink, live, pace, before=self._before))
        ending = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({sending, ending}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            self._over.set()
            seconds = time.monotonic() - began
        finally:
            sending.cancel()
            ending.cancel()
            await asyncio.wait({sending, ending})
        await asyncio.sleep(LAST_LISTS_SECONDS)
        return seconds

    def _before(self, event: Event) -> None:
        self._judge.about_to_send(event)
        self._board.sent(event, time.monotonic())

    @asynccontextmanager
    async def _received(self, bootstrap: str, connection: Mapping[str, Any]) -> AsyncIterator[None]:
        """Lists and dead letters that are published from now on are taken in while this lasts."""
        async with asking(bootstrap, connection, seconds=self._timeout, rights=RIGHTS) as deadline:
            consumer = Reader(**{**connection, "bootstrap_servers": bootstrap}, fetch_max_wait_ms=100)
            try:
                await consumer.start()
                counts = await check_topics(consumer, bootstrap, connection, RIGHTS)
                partitions = [each for name, count in counts.items() for each in numbered(name, count)]
                consumer.assign(partitions)
                await consumer.seek_to_end(*partitions)
                for partition in partitions:
                    await consumer.position(partition)  # the ends are known before the first event goes out
                deadline.lift()  # each send has its own deadline
                async with beside(self._take_in(consumer)):
                    yield
            finally:
                await ended(consumer)

    async def _take_in(self, consumer: Reader) -> None:
        async for record in consumer:
            with contextlib.suppress(Refused):  # what cannot be read, or others wrote, is no list
                self._take(record)

    def _take(self, record: Any) -> None:
        if record.topic == DEAD_LETTERS.name:
            self._board.refused(decode(DeadLetter, record.value))
            return
        made = decode(Recommendation, record.value)
        self._judge.published(made)
        self._board.came(made, time.monotonic())
        self._on_list(made)

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
                self._console.print(line(show, now - began, now), soft_wrap=True, highlight=False, markup=False)

        if self._console.is_terminal:
            with Live(console=self._console, screen=True, auto_refresh=False) as live:
                async with beside(draw(live)):
                    yield
        else:
            async with beside(tell()):
                yield


def tell_summary(figures: Mapping[str, Any], console: Console, json_file: Path | None) -> None:
    """Print the figures, and write them as JSON where a file is named."""
    console.print(summary_table(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"written to {json_file}", style="grey58")


@asynccontextmanager
async def beside(work: Any) -> AsyncIterator[None]:
    """Do `work` while the block runs; the block ends with it if it fails."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@contextmanager
def on_signals(interrupt: Callable[[], object]) -> Iterator[None]:
    """SIGINT and SIGTERM call `interrupt` while this lasts."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError):
                loop.remove_signal_handler(number)
