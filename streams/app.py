"""The worker's Faust app, made from settings. Nothing happens on import, and two apps share nothing."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, cast

import faust
import msgspec
from yarl import URL

from schemas.codec import encode
from schemas.dead_letters import DeadLetter
from schemas.scoring import Scorer
from schemas.topics import BLENDS, CONTEXTS, COVISITS, DEAD_LETTERS, EVENTS, ITEMS, NEIGHBOURS
from streams.agents.blends import SharedBlends
from streams.agents.broker_changes import BrokerChanges, keep_up
from streams.agents.covisits import Counting
from streams.agents.events import Lane
from streams.agents.faust_agents import add_agents
from streams.agents.items import stock
from streams.agents.model_versions import ModelVersions
from streams.agents.neighbours import Owner
from streams.agents.plane import Plane
from streams.api.http_api import HttpApi
from streams.clock import SYSTEM, Clock
from streams.dead_letters import dead_letter
from streams.errors import BadSetting
from streams.fold.marking import SECRET_BYTES, Marking, Markings
from streams.gauges import set_gauges
from streams.graph.item_graph import ItemGraph
from streams.health.board import Board
from streams.health.conditions import EVERYTHING, FOLDING, Survey
from streams.health.losses import report
from streams.health.survey import Surveyor
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from streams.items.search import SearchIndex
from streams.kafka.assignment import BatchLanes
from streams.kafka.connection import addresses, client_options, paced
from streams.kafka.faust_settings import api_address, faust_settings
from streams.kafka.faust_transport import BatchConsumer, BatchTransport
from streams.kafka.fetcher import Reader
from streams.kafka.lanes import Source
from streams.kafka.publisher import Output, Publisher
from streams.kafka.replica import Apply, Replica
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.page.live_page import LivePage
from streams.page.versions import versions_view
from streams.privacy import sessions
from streams.privacy.pseudonyms import alias_with
from streams.private import private_folder
from streams.rejections import Rejections
from streams.retry import Pauses, logged, retry
from streams.serving.blends import Blends
from streams.serving.item_vectors import Describing
from streams.serving.lists import Lists
from streams.serving.ranking_settings import ranking_of
from streams.serving.searching import Search
from streams.serving.watching import Watchers
from streams.settings import ALL_DUTIES, Settings, variable
from streams.state.changelog import Changelog
from streams.state.orphans import clear
from streams.state.records import check_entry
from streams.state.store import Store
from streams.turns import Turns, watch
from streams.web.guard import Guard, GuardedWeb
from streams.web.pages import add_pages

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Between two tries to publish what an agent sends."""

DRAIN_SHARE = 0.4
"""Share of the rebalance timeout that a lane may use to finish writes in flight."""

MARK = 2_000
"""Items marked per turn; each takes one or two microseconds."""


class WorkerApp(faust.App):
    """The app of one worker and everything in it.

    `make_scorer` is called when the event loop runs, since clients belong to a loop.
    """

    def __init__(
        self, settings: Settings, *, make_scorer: Callable[[], Scorer | None] | None = None, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(settings.kafka.app_id, **faust_settings(settings))
        self.settings = settings
        self.clock = clock
        self._ranking = ranking_of(settings.lists)
        self.metrics = Metrics()
        self.turns = Turns(settings.folding.turn_ms / 1000, clock.monotonic)
        self.board = Board(clock.monotonic)
        self.needs = EVERYTHING if self._whole else FOLDING
        self.surveyor = Surveyor(
            lambda: client_options(settings.kafka),
            self.needs,
            settings.kafka.app_id,
            clock=clock,
            tell=self._surveyed,
            unreached=lambda conditions: self.board.found("reach", conditions),
            failed=self.metrics.failed_looks.inc,
        )
        self.catalogue = Catalogue(ItemIndex(unknown_limit=settings.graph.unknown_items))
        self.graph = ItemGraph(self.catalogue.index)
        drain_s = settings.kafka.rebalance_timeout_s * DRAIN_SHARE
        self.lanes = BatchLanes(EVENTS.name, self._lane, drain_s)
        self.counting = BatchLanes(COVISITS.name, self._counting, drain_s)
        self.changes = BrokerChanges(
            self.board,
            self.needs,
            settings,
            lanes=self.lanes,
            counting=self.counting,
            replicas=lambda: (self.items, self.neighbours, self.versions.replica, self.sharing.replica),
        )
        self.rejections = Rejections(self.metrics)
        self._lines = RateLimitedLog(log, clock.monotonic)
        self.publish = Publisher(self._client, lambda topic: self.metrics.oversized.labels(topic).inc())
        self.items = self._replica(ITEMS.name, lambda _, key, value: stock(self.catalogue, key, value))
        self.owner = Owner(
            self.graph,
            publish=self.publish,
            mark=self._mark,
            rejected=self.rejections.note,
            metrics=self.metrics,
            clock=clock,
            turns=self.turns,
            may_clear=self.items.caught_up.is_set,
        )
        self.transport = BatchTransport(
            [URL(f"kafka://{each}") for each in addresses(settings.kafka)],
            self,
            [self.lanes, self.counting] if self._whole else [self.lanes],
            settings.kafka.fetch_wait_ms,
            lost=self.lost,
        )
        self.neighbours = self._replica(NEIGHBOURS.name, self.owner.load, refuse=self.owner.refuse)
        self.versions = ModelVersions(
            self.catalogue,
            replica=lambda topic, apply: self._replica(topic, apply, until_quiet=True),
            publish=self.publish,
            survey=lambda: self.changes.survey,
            metrics=self.metrics,
            clock=clock,
        )
        self.blends = Blends(
            self._ranking.sources.columns,
            self.metrics,
            clock,
            partitions=lambda: self.changes.survey.partitions(EVENTS.name),
        )
        self.sharing = SharedBlends(
            self.blends,
            self._replica(
                BLENDS.name,
                self.blends.apply,
                refuse=self.blends.refuse,
                restarted=self.blends.restarted,
                until_quiet=True,
            ),
            publish=self.publish,
            survey=lambda: self.changes.survey,
            clock=clock,
            turns=self.turns,
        )
        search: Search | None = None
        if settings.web.page == "on" or settings.web.api == "on":
            self.catalogue.search = SearchIndex()
            search = Search(self.catalogue.search, self.catalogue, self.graph, clock)
        self._live_page = LivePage(
            settings,
            catalogue=self.catalogue,
            graph=self.graph,
            search=search,
            lanes=self.lanes,
            partitions=lambda: self.changes.survey.partitions(EVENTS.name),
            publish=self.publish,
            versions=lambda: versions_view(self.versions.live.trials, self.versions.live.lacking),
            metrics=self.metrics,
            clock=clock,
        )
        self._api = HttpApi(
            settings,
            catalogue=self.catalogue,
            search=search,
            is_read=self.items.caught_up.is_set,
            lanes=self.lanes,
            partitions=lambda: self.changes.survey.partitions(EVENTS.name),
            publish=self.publish.every,
            addresses=lambda: cast(Any, self.assignor).external_topics_metadata(),
            own_address=api_address(settings),
            metrics=self.metrics,
            clock=clock,
        )
        self._make_scorer = make_scorer
        self._scorer: Scorer | None = None
        self._unnamed = 0
        self._plane: Plane | None = None
        for lanes in self.transport.lanes:
            # Registered so that the group subscribes to it; no stream reads it, the lanes do.
            self.topics.add(self.topic(lanes.topic, value_type=bytes, acks=False))
        if self._whole:
            add_agents(self, clock=clock, turns=self.turns, letters=self._letters, publish=self._publish_surely)
        pages = self.waits_for, self.unserved, self.refresh
        add_pages(self, self.metrics, *pages, per_second=settings.web.max_per_second, clock=clock)

    def _new_web(self) -> Any:
        def refused(why: str) -> None:
            self.metrics.refused_requests.labels(why).inc()

        for name, part in (("web_page", self._live_page), ("web_api", self._api)):
            if part.is_on and not self._whole:
                raise BadSetting(f"{variable(name)}=on needs a worker that makes lists: leave out one of them.")
        areas = [part.area for part in (self._live_page, self._api) if part.is_on]
        guard = Guard(self.settings.web, self.clock, refused, areas)
        self._live_page.add_to(guard.application, refused)
        self._api.add_to(guard.application, refused)
        return GuardedWeb(self, guard)

    @property
    def _whole(self) -> bool:
        return self.settings.folding.duties == ALL_DUTIES

    async def on_start(self) -> None:
        await super().on_start()
        alias = alias_with(self.settings.privacy.pseudonym_key.reveal())
        lists = self._start_lists() if self._whole else None
        self._plane = Plane(
            settings=self.settings,
            clock=self.clock,
            metrics=self.metrics,
            lists=lists,
            publish=self.publish,
            changelog=self._changelog,
            warm=self._warm,
            rejected=self.rejections.note,
            markings=Markings(secrets.token_bytes(SECRET_BYTES)),
            alias=alias,
            turns=self.turns,
            secret=partial(secrets.token_bytes, sessions.SECRET_BYTES) if self._scorer is not None else None,
            survey=self.surveyor.fresh,
            board=self.board,
        )
        self.add_future(self.surveyor.run())
        self.add_future(self.rejections.run(self.clock))
        self.add_future(watch(self.metrics.loop_lag.observe, self.clock.monotonic))

    def _lane(self, partition: int, source: Source) -> Lane:
        assert self._plane is not None, "the app is started before its consumer"
        return Lane(partition, source, self._plane)

    def _counting(self, partition: int, source: Source) -> Counting:
        interval = self.settings.graph.counting_interval_s
        return Counting(partition, source, self.owner, self.clock, interval, lost=self.lost)

    def lost(self, topic: str, partition: int, first: int, count: int) -> None:
        """Records from offset `first` on were deleted before they were read."""
        self.metrics.lost.labels(topic).inc(count)
        report(topic, partition, first, count)

    def _surveyed(self, survey: Survey) -> None:
        """Take in a new survey of the brokers."""
        partitions = self.changes.take(survey)
        self.add_future(keep_up(partitions, self._client, lambda: cast(BatchConsumer, self.consumer)))

    def _start_lists(self) -> Lists:
        """Start everything other than the fold: the catalogue, the item graph, lists and the description of items."""
        self._scorer = self._make_scorer() if self._make_scorer is not None else None
        lists = Lists(
            settings=self.settings,
            ranking=self._ranking,
            catalogue=self.catalogue,
            graph=self.graph,
            scorer=self._scorer,
            publish=self.publish,
            metrics=self.metrics,
            clock=self.clock,
            turns=Turns(self.settings.folding.turn_ms / 1000, self.clock.monotonic),
            live=self.versions.live,
            blends=self.blends,
            comparisons=self.versions.comparisons,
            watcher=Watchers(self._live_page.viewing, *((self._api.latest,) if self._api.is_on else ())),
        )
        self._live_page.lists = self._api.lists = lists.one_off
        self._live_page.explaining = self._api.explaining = lists.explaining
        beside: tuple[Coroutine[Any, Any, None], ...] = (
            *self.versions.tasks(),
            *self.sharing.tasks(),
            self.items.run(),
            self._read_graph(),
            self.owner.run(),
            clear(self.lanes.held, self.settings, self.clock),
            lists.run(),
        )
        for each in beside:
            self.add_future(each)
        if self._scorer is not None:
            describing = Describing(
                catalogue=self.catalogue,
                versions=self.versions.live.described,
                popularity=self.graph.events,
                scorer=self._scorer,
                batch=self.settings.model.describe_batch,
                timeout_s=self.settings.model.describe_timeout_s,
                metrics=self.metrics,
                clock=self.clock,
                busy=lists.busy,
            )
            self.add_future(self._describe(describing))
        return lists

    async def _describe(self, describing: Describing) -> None:
        await self.versions.followed.wait_known(self.settings.graph.warm_up_s)
        await describing.run()

    async def on_stop(self) -> None:
        if self._whole:
            await self.versions.stop()
        await super().on_stop()
        self.rejections.flush(all_of_it=True)
        if self._scorer is not None:
            await self._scorer.close()

    def waits_for(self) -> list[str]:
        """What the worker is waiting for, in words; empty once it is ready."""
        waits = {
            "the consumer group": self.lanes.joined,
            "the state of its partitions": self.lanes.ready(),
        }
        if self._whole:
            waits["the model versions"] = self.versions.followed.known()
            waits["what other partitions learned"] = self.sharing.followed.known()
            waits["the catalogue"] = self.items.caught_up.is_set()
            waits["the item graph"] = self.neighbours.caught_up.is_set() and self.counting.ready()
        return [what for what, done in waits.items() if not done]

    def unserved(self) -> list[str]:
        """What the worker cannot serve, one sentence each, with the next step."""
        return [condition.text for condition in self.board.current()]

    def _letters(self, letters: list[DeadLetter]) -> list[Output]:
        self.rejections.note(letters)
        return [Output(DEAD_LETTERS.name, letter.key, encode(letter)) for letter in letters]

    def refresh(self) -> None:
        """Set what is computed at each scrape."""
        # Of the scorers, only one that asks a server can have it. `streams` does not import them.
        unnamed: int = getattr(self._scorer, "unnamed_instead", 0)
        self.metrics.unnamed.inc(unnamed - self._unnamed)
        self._unnamed = unnamed
        set_gauges(
            self.metrics,
            ready=not self.waits_for() and not self.unserved(),
            board=self.board,
            lanes=self.lanes,
            counting=self.counting,
            catalogue=self.catalogue,
            lacking=self.versions.live.lacking,
            neighbours=self.neighbours.records,
            learned=self.blends.lists(),
        )

    async def _publish_surely(self, outputs: list[Output], what: str) -> None:
        """Publish the outputs; retry until it succeeds."""
        if outputs:
            await retry(
                lambda: self.publish(outputs),
                pauses=Pauses(RETRY_SECONDS),
                clock=self.clock,
                failed=logged(self._lines, f"{what} could not be published"),
            )

    async def _refuse_state(self, partition: int, record: Any, error: Exception) -> None:
        """Write a dead letter for a changelog record, without its bytes: they hold a user's context."""
        letter = dead_letter(CONTEXTS.name, partition, record, self.clock.now_ms(), error)
        await self.publish(self._letters([msgspec.structs.replace(letter, key=None, value=None)]))

    def _too_large_for_changelog(self, size: int) -> None:
        self.metrics.oversized.labels(CONTEXTS.name).inc()
        self.rejections.too_large(CONTEXTS.name, size)

    async def _warm(self, marking: Marking) -> None:
        if not self._whole:
            return
        await self.versions.followed.wait_known(self.settings.graph.warm_up_s)
        await self.sharing.followed.wait_known(self.settings.graph.warm_up_s)
        try:
            async with asyncio.timeout(self.settings.graph.warm_up_s):
                await self.items.caught_up.wait()
                await self.neighbours.caught_up.wait()
        except TimeoutError:
            log.warning("The catalogue is not read completely yet; lists are made without the missing items")
        while self.catalogue.unmarked(marking):
            await self.turns.next()
            self.catalogue.mark(marking, MARK)

    async def _read_graph(self) -> None:
        """Follow the item graph, after the catalogue is read: the number of other ids is bounded.

        If the catalogue cannot be read, do not wait for it.
        """
        read = -1
        while not self.items.caught_up.is_set() and self.items.records > read:
            read = self.items.records
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.graph.warm_up_s):
                    await self.items.caught_up.wait()
        await self.neighbours.run()

    async def _mark(self, partition: int, key: bytes) -> None:
        read = self.neighbours.wait_for(key)  # before the write: the replica may be faster than the answer
        await self._client().send_and_wait(NEIGHBOURS.name, key=key, value=None, partition=partition)
        await read

    def _client(self) -> Any:
        return cast(Any, self.producer)._ensure_producer()

    def _reader(self) -> Reader:
        return paced(
            Reader(
                **client_options(self.settings.kafka),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=self.settings.kafka.fetch_max_mb * 1024 * 1024,
            )
        )

    def _replica(self, topic: str, apply: Apply, **more: Any) -> Replica:
        return Replica(topic, apply, consumer=self._reader, clock=self.clock, turns=self.turns, **more)

    def _changelog(self, partition: int, store: Store) -> Changelog:
        return Changelog(
            CONTEXTS.name,
            partition,
            store,
            producer=self._client(),
            consumer=self._reader,
            nonce=secrets.token_bytes(16),
            now_ms=self.clock.now_ms,
            max_age_ms=self.settings.state.max_age_s * 1000,
            turns=self.turns,
            check=check_entry,
            refuse=self._refuse_state,
            oversized=self._too_large_for_changelog,
        )


def create_app(
    settings: Settings, *, make_scorer: Callable[[], Scorer | None] | None = None, clock: Clock = SYSTEM
) -> WorkerApp:
    """The app of one worker. Without a scorer, lists are behavioural (`degraded: disabled`)."""
    if not settings.state.dir.exists():  # an existing one may be shared; our part of it is closed
        private_folder(settings.state.dir)
    private_folder(settings.state.dir / settings.kafka.app_id)
    return WorkerApp(settings, make_scorer=make_scorer, clock=clock)
