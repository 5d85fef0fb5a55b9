"""The worker's Faust app, made by a factory from settings: nothing happens on import, and two apps share nothing."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import faust
import msgspec
from yarl import URL

from schemas.codec import encode
from schemas.dead_letters import DeadLetter
from schemas.limits import MAX_DEAD_LETTER_BYTES
from schemas.scoring import Scorer
from schemas.topics import CONTEXTS, COVISITS, DEAD_LETTERS, EVENTS, ITEMS, NEIGHBOURS, PRIVACY
from streams.agents.covisits import Counting
from streams.agents.erasure_orders import forward
from streams.agents.events import Lane, Plane
from streams.agents.items import refused, stock
from streams.agents.neighbours import Owner
from streams.clock import SYSTEM, Clock
from streams.dead_letters import dead_letter
from streams.fold.marking import SECRET_BYTES, Marking, Markings
from streams.graph.item_graph import ItemGraph
from streams.health.board import SURVEY, Board
from streams.health.conditions import CAUSES, EVERYTHING, FOLDING, Survey, assess
from streams.health.losses import report
from streams.health.survey import Surveyor
from streams.items.catalogue import Catalogue
from streams.items.index import ItemIndex
from streams.kafka.assignment import BatchLanes
from streams.kafka.connection import addresses, client_options, faust_options, paced, user_of
from streams.kafka.faust_transport import BatchConsumer, BatchTransport, Source, learn
from streams.kafka.fetcher import Reader
from streams.kafka.publisher import Output, Publisher
from streams.kafka.replica import Apply, Refuse, Replica
from streams.metrics import Metrics
from streams.privacy import sessions
from streams.privacy.pseudonyms import Alias, alias_with
from streams.private import private_folder
from streams.ranking.pipeline import Ranking
from streams.rejections import Rejections
from streams.serving.item_vectors import Describing
from streams.serving.lists import Lists
from streams.settings import ALL_DUTIES, Settings
from streams.state.changelog import Changelog
from streams.state.orphans import set_aside
from streams.state.records import check_entry
from streams.state.store import Store, folder_of
from streams.turns import Turns, watch
from streams.unreadable import original
from streams.web.guard import Guard, GuardedWeb
from streams.web.pages import add_pages

log = logging.getLogger(__name__)

BATCH_BYTES = 256 * 1024
"""Records to one partition that are sent together."""

SEND_SECONDS = 60.0
"""How long a send is tried again before whoever waits for it starts over."""

LINES_SECONDS = 10.0
"""Between two looks for log lines that are due."""

LEFTOVERS_SECONDS = 60.0
"""Between two looks for state that was left on disk."""

DRAIN_SHARE = 0.4
"""The share of the rebalance timeout that a lane may take to write what is in flight."""

MARK = 2_000
"""Items that are marked in one go; each takes a microsecond or two."""

TAKE = 2_000
"""Records of a topic on Faust's standard path that an agent takes at once."""


class WorkerApp(faust.App):
    """The app of one worker and everything in it.

    `make_scorer` is called when the event loop runs, since clients belong to a loop.
    """

    def __init__(
        self, settings: Settings, *, make_scorer: Callable[[], Scorer | None] | None = None, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(settings.app_id, **_faust_settings(settings))
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics()
        self.turns = Turns(settings.turn_ms / 1000, clock.monotonic)
        self.board = Board(clock.monotonic)
        self.needs = EVERYTHING if self._whole else FOLDING
        self.surveyor = Surveyor(
            lambda: client_options(settings),
            self.needs,
            settings.app_id,
            clock=clock,
            tell=self._surveyed,
            unreached=lambda conditions: self.board.found("reach", conditions),
            failed=self.metrics.failed_looks.inc,
        )
        self._survey = Survey()
        self.catalogue = Catalogue(ItemIndex(unknown_limit=settings.unknown_items))
        self.graph = ItemGraph(self.catalogue.index)
        drain_s = settings.rebalance_timeout_s * DRAIN_SHARE
        self.lanes = BatchLanes(EVENTS.name, self._lane, drain_s)
        self.counting = BatchLanes(COVISITS.name, self._counting, drain_s)
        self.rejections = Rejections(self.metrics)
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
            [URL(f"kafka://{each}") for each in addresses(settings)],
            self,
            [self.lanes, self.counting] if self._whole else [self.lanes],
            settings.fetch_wait_ms,
            lost=self.lost,
        )
        self.neighbours = self._replica(NEIGHBOURS.name, self.owner.load, refuse=self.owner.refuse)
        self._make_scorer = make_scorer
        self._scorer: Scorer | None = None
        self._plane: Plane | None = None
        for lanes in self.transport.lanes:
            # Registered so that the group subscribes to it; no stream reads it, the lanes do.
            self.topics.add(self.topic(lanes.topic, value_type=bytes, acks=False))
        if self._whole:
            self._add_agents()
        add_pages(
            self,
            self.metrics,
            self.waits_for,
            self.unserved,
            self.refresh,
            per_second=settings.web_max_per_second,
            clock=clock,
        )

    def _new_web(self) -> Any:
        refused = self.metrics.refused_requests
        return GuardedWeb(self, Guard(self.settings, self.clock, lambda why: refused.labels(why).inc()))

    @property
    def _whole(self) -> bool:
        return self.settings.duties == ALL_DUTIES

    async def on_start(self) -> None:
        await super().on_start()
        alias = alias_with(self.settings.pseudonym_key.reveal())
        lists = self._start_lists(alias) if self._whole else None
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
            secret=self._draw_secret if self._scorer is not None else None,
            survey=self.surveyor.fresh,
            board=self.board,
        )
        self.add_future(self.surveyor.run())
        self.add_future(self._flush_lines())
        self.add_future(watch(self.metrics.loop_lag.observe, self.clock.monotonic))

    def _draw_secret(self) -> bytes:
        return secrets.token_bytes(sessions.SECRET_BYTES)

    def _lane(self, partition: int, source: Source) -> Lane:
        assert self._plane is not None, "the app is started before its consumer"
        return Lane(partition, source, self._plane)

    def _counting(self, partition: int, source: Source) -> Counting:
        interval = self.settings.counting_interval_s
        return Counting(partition, source, self.owner, self.clock, interval, lost=self.lost)

    def lost(self, topic: str, partition: int, first: int, count: int) -> None:
        """Records from offset `first` on were deleted before they were read."""
        self.metrics.lost.labels(topic).inc(count)
        report(topic, partition, first, count)

    def _surveyed(self, survey: Survey) -> None:
        """The brokers said how everything is."""
        before, self._survey = self._survey, survey
        self.board.found(SURVEY, assess(survey, self.needs, self.settings.app_id, user_of(self.settings)))
        for lane in self.lanes.lanes.values():
            lane.look(survey.id_of(EVENTS.name))
        known_id = before.id_of(COVISITS.name)
        if known_id and survey.id_of(COVISITS.name) not in (b"", known_id):
            for counting in self.counting.lanes.values():
                counting.begin_again()
        for replica in (self.items, self.neighbours):
            facts, known = survey.topics.get(replica.topic), before.topics.get(replica.topic)
            if facts and known and known.partitions and (facts.id, facts.partitions) != (known.id, known.partitions):
                log.warning("%s was recreated or has more partitions: reading it again from its start", replica.topic)
                replica.again()
        self.add_future(self._keep_up({name: facts.partitions for name, facts in survey.topics.items()}))

    async def _keep_up(self, partitions: dict[str, int]) -> None:
        try:
            learn(self._client().client, partitions)
            consumer = cast(BatchConsumer, self.consumer)
            await consumer.keep_up(partitions)
        except Exception as error:  # it is not started yet, or just ending
            log.debug("The clients were not told of the survey: %s", type(error).__name__)

    def _start_lists(self, alias: Alias) -> Lists:
        """Start everything beside the fold: the catalogue, the item graph, lists and what the model describes."""
        self._scorer = self._make_scorer() if self._make_scorer is not None else None
        lists = Lists(
            settings=self.settings,
            ranking=Ranking(
                length=self.settings.list_length,
                rescored=self.settings.rescored,
                exploration=self.settings.exploration,
                seen=self.settings.seen_rules(),
            ),
            catalogue=self.catalogue,
            graph=self.graph,
            scorer=self._scorer,
            publish=self.publish,
            metrics=self.metrics,
            clock=self.clock,
            alias=alias,
            turns=Turns(self.settings.turn_ms / 1000, self.clock.monotonic),
        )
        beside: tuple[Coroutine[Any, Any, None], ...] = (
            self.items.run(),
            self._read_graph(),
            self.owner.run(),
            self._clear_leftovers(),
            lists.run(),
        )
        for each in beside:
            self.add_future(each)
        if self._scorer is not None:
            describing = Describing(
                catalogue=self.catalogue,
                popularity=self.graph.events,
                scorer=self._scorer,
                batch=self.settings.describe_batch,
                timeout_s=self.settings.describe_timeout_s,
                metrics=self.metrics,
                clock=self.clock,
                busy=lists.busy,
            )
            self.add_future(describing.run())
        return lists

    async def on_stop(self) -> None:
        await super().on_stop()
        self.rejections.flush(all_of_it=True)
        if self._scorer is not None:
            await self._scorer.close()

    def waits_for(self) -> list[str]:
        """What the worker still waits for, for people to read; nothing once it is ready."""
        waits = {
            "the consumer group": self.lanes.joined,
            "the state of its partitions": self.lanes.ready(),
        }
        if self._whole:
            waits["the catalogue"] = self.items.caught_up.is_set()
            waits["the item graph"] = self.neighbours.caught_up.is_set() and self.counting.ready()
        return [what for what, done in waits.items() if not done]

    def unserved(self) -> list[str]:
        """What keeps the worker from its work, a sentence each, with the next step."""
        return [condition.text for condition in self.board.current()]

    def refresh(self) -> None:
        """Set the gauges that are read rather than counted."""
        self.metrics.lag.clear()
        self.metrics.uncounted.clear()
        self.metrics.state_bytes.clear()
        self.metrics.ready.set(not self.waits_for() and not self.unserved())
        counts = {**{("", cause): 0 for cause in CAUSES}, **self.board.counts()}
        self.metrics.unserved.clear()
        for (topic, cause), count in counts.items():
            self.metrics.unserved.labels(topic, cause).set(count)
        for counting in self.counting.lanes.values():
            if counting.lag is not None:
                self.metrics.uncounted.labels(str(counting.partition)).set(counting.lag)
        people = 0
        for lane in self.lanes.lanes.values():
            state = lane.state
            self.metrics.lag.labels(str(lane.partition)).set(lane.lag)
            if state is not None:
                self.metrics.state_bytes.labels(str(lane.partition)).set(state.size_bytes())
                people += state.people()
        self.metrics.state_people.set(people)
        self.metrics.items.set(len(self.catalogue))
        self.metrics.undescribed.set(self.catalogue.vectors.waiting)
        self.metrics.neighbours.set(self.neighbours.records)
        self.metrics.unknown.set(len(self.catalogue.index.unknown))

    def _add_agents(self) -> None:
        # Raw by name as well: a value that Faust cannot decode would end the agent without a word.
        raw: dict[str, Any] = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        items, privacy = (self.topic(topic.name, **raw) for topic in (ITEMS, PRIVACY))

        @self.agent(items, name="refuse-items")
        async def refuse(stream: Any) -> None:
            async for events in stream.take_events(TAKE, within=1.0):
                await self._refuse([original(event.message) for event in events])

        @self.agent(privacy, name="order-erasures")
        async def order(stream: Any) -> None:
            async for events in stream.take_events(TAKE, within=0.1):
                sent: list[Output] = []
                for event in events:
                    await self.turns.next()
                    erasures, letters = forward([original(event.message)], self.clock.now_ms())
                    sent += [*erasures, *self._letters(letters)]
                await self._publish_surely(sent, "Erasure orders")

    async def _refuse(self, messages: list[Any]) -> None:
        letters: list[DeadLetter] = []
        for message in messages:
            await self.turns.next()
            letters += refused([message], self.clock.now_ms())
        await self._publish_surely(self._letters(letters), "Refused items")

    def _letters(self, letters: list[DeadLetter]) -> list[Output]:
        self.rejections.note(letters)
        return [Output(DEAD_LETTERS.name, letter.key, encode(letter)) for letter in letters]

    async def _publish_surely(self, outputs: list[Output], what: str) -> None:
        """Publish; try until it is done."""
        while outputs:
            try:
                await self.publish(outputs)
            except Exception as error:
                log.error("%s could not be published (%s); trying again", what, type(error).__name__)
                await asyncio.sleep(1.0)
            else:
                return

    async def _flush_lines(self) -> None:
        while True:
            await asyncio.sleep(LINES_SECONDS)
            self.rejections.flush()

    async def _refuse_state(self, partition: int, record: Any, error: Exception) -> None:
        """A dead letter for a record of the changelog, without its bytes: they hold what somebody did."""
        letter = dead_letter(CONTEXTS.name, partition, record, self.clock.now_ms(), error)
        await self.publish(self._letters([msgspec.structs.replace(letter, key=None, value=None)]))

    def _too_large_for_changelog(self, size: int) -> None:
        self.metrics.oversized.labels(CONTEXTS.name).inc()
        self.rejections.too_large(CONTEXTS.name, size)

    async def _clear_leftovers(self) -> None:
        """Remove what is left on disk of partitions that went to other workers, once it could not be trusted anyway."""
        while True:
            held = {folder_of(self.settings, partition) for partition in self.lanes.held()}
            for folder in set_aside(held, self.settings, self.clock.now_ms()):
                await asyncio.to_thread(Store.remove, folder)
            await asyncio.sleep(LEFTOVERS_SECONDS)

    async def _warm(self, marking: Marking) -> None:
        if not self._whole:
            return
        try:
            async with asyncio.timeout(self.settings.warm_up_s):
                await self.items.caught_up.wait()
                await self.neighbours.caught_up.wait()
        except TimeoutError:
            log.warning("The catalogue is not read yet; the lists begin without what is missing")
        while self.catalogue.unmarked(marking):
            await self.turns.next()
            self.catalogue.mark(marking, MARK)

    async def _read_graph(self) -> None:
        """Follow the item graph, once it is known which ids are the catalogue's: of others, only so many are kept.
        Where the catalogue cannot be read, do not wait for it."""
        read = -1
        while not self.items.caught_up.is_set() and self.items.records > read:
            read = self.items.records
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.warm_up_s):
                    await self.items.caught_up.wait()
        await self.neighbours.run()

    async def _mark(self, partition: int, key: bytes) -> None:
        read = self.neighbours.wait_for(
            key
        )  # asked for before it is written: the replica may be faster than the answer
        await self._client().send_and_wait(NEIGHBOURS.name, key=key, value=None, partition=partition)
        await read

    def _client(self) -> Any:
        return cast(Any, self.producer)._ensure_producer()

    def _reader(self) -> Reader:
        return paced(
            Reader(
                **client_options(self.settings),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=self.settings.fetch_max_mb * 1024 * 1024,
            )
        )

    def _replica(self, topic: str, apply: Apply, **more: Refuse) -> Replica:
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
            max_age_ms=self.settings.state_max_age_s * 1000,
            turns=self.turns,
            check=check_entry,
            refuse=self._refuse_state,
            oversized=self._too_large_for_changelog,
        )


def create_app(
    settings: Settings, *, make_scorer: Callable[[], Scorer | None] | None = None, clock: Clock = SYSTEM
) -> WorkerApp:
    """The app of one worker. Without a scorer, lists are behavioural (`degraded: disabled`)."""
    if not settings.state_dir.exists():  # one that is there may be of use to others; what is ours in it is closed
        private_folder(settings.state_dir)
    private_folder(settings.state_dir / settings.app_id)
    return WorkerApp(settings, make_scorer=make_scorer, clock=clock)


def _static_member(instance: str) -> dict[str, Any]:
    """Faust checks that an assignment which it is given back was made for its own address: let a name have one."""
    return {"consumer_group_instance_id": instance, "canonical_url": f"http://{instance}"} if instance else {}


def _faust_settings(settings: Settings) -> dict[str, Any]:
    return {
        "autodiscover": False,
        "datadir": str(settings.state_dir),
        "broker_session_timeout": settings.session_timeout_s,
        "broker_rebalance_timeout": settings.rebalance_timeout_s,
        "broker_heartbeat_interval": settings.heartbeat_s,
        "broker_request_timeout": max(90.0, settings.session_timeout_s * 2),
        "broker_commit_interval": settings.commit_interval_s,
        **_static_member(settings.group_instance),
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": settings.fetch_max_mb * 1024 * 1024,
        "producer_max_request_size": MAX_DEAD_LETTER_BYTES + 1024 * 1024,
        "producer_max_batch_size": BATCH_BYTES,
        "producer_request_timeout": SEND_SECONDS,
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_host": settings.web_host,
        "web_bind": settings.web_host,
        "web_port": settings.web_port,
        "worker_redirect_stdouts": False,
        **faust_options(settings),
    }
