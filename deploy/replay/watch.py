"""Watch a live replay: send events, receive and judge lists, and show both in the terminal."""

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
from streams.serving.trials import Trials

RIGHTS = {RECOMMENDATIONS.name: "Read", DEAD_LETTERS.name: "Read"}
"""The rights that a watch needs."""

FRAMES_PER_SECOND = 4
LINE_SECONDS = 5.0
LAST_LISTS_SECONDS = 1.5
"""Time to wait for lists after the last event."""


class Watch:
    """One watched replay. Pass it the catalogue (`item`) and the history (`past`) before `run`.

    It keeps every user's last list and seen items: about 10 KiB a user.
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
        self.versions = Trials()
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
        """Add an item of the catalogue: its title, and as a candidate of the baselines."""
        self._titles[item.id] = item.title
        for method in self._methods.values():
            method.offer([item.id])

    def past(self, event: Event) -> None:
        """Add an event that was sent as history; it is not judged."""
        self._judge.learn(event)
        self._board.history(event)

    def end(self) -> bool:
        """End the live part now, with its summary; returns False if it was over already."""
        first = not self._over.is_set()
        self._over.set()
        return first

    def warn(self, sentence: str, more: str = "") -> None:
        """Show a warning from now on; without a terminal, print it with the lines in `more`."""
        self.notes.warning = sentence
        if not self._console.is_terminal:
            self._console.print(shown(f"{sentence}\n{more}".rstrip()), highlight=False, markup=False, soft_wrap=True)

    async def run(
        self, bootstrap: str, sink: KafkaSink, live: Iterable[Event], pace: Paced, connection: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        """Send the live events until `seconds` are over, none is left, or `end` is called; return the figures.

        Calls `on_list` with every list. Raises `DeployError` if the brokers do not answer.
        """
        show = Show(self._board, self._judge, self._titles, self._parts, self._seconds, self.notes, self.versions)
        async with self._drawn(show), self._received(bootstrap, connection):
            seconds = await self._replay(sink, live, pace)
        return summary(self._board, self._judge.verdict(), seconds)

    async def _replay(self, sink: KafkaSink, live: Iterable[Event], pace: Paced) -> float:
        """Send the events; return for how many seconds."""
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
        """Receive the lists and dead letters that are published while this block runs."""
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
            with contextlib.suppress(Refused):  # skip unreadable and foreign records
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
        """Show the live picture, or a line every `LINE_SECONDS`, while this block runs."""
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
    """Print the figures, and write them as JSON to `json_file` if given."""
    console.print(summary_table(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"written to {json_file}", style="grey58")


@asynccontextmanager
async def beside(work: Any) -> AsyncIterator[None]:
    """Run `work` beside the block; if it fails, the block ends with its error."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        try:
            yield
        finally:
            task.cancel()


@contextmanager
def on_signals(interrupt: Callable[[], object]) -> Iterator[None]:
    """Call `interrupt` on SIGINT and SIGTERM while this block runs."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError):
                loop.remove_signal_handler(number)
