"""The worker's Faust app, made by a factory from settings: nothing happens on import, and two apps share nothing."""

import secrets
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer
from yarl import URL

from schemas.limits import MAX_DEAD_LETTER_BYTES
from schemas.scoring import Scorer
from schemas.topics import CONTEXTS, EVENTS
from streams.changelog import Changelog
from streams.clock import SYSTEM, Clock
from streams.connection import addresses, client_options, faust_options
from streams.lane import BatchLanes, Plane
from streams.metrics import Metrics
from streams.publishing import Publisher
from streams.settings import Settings
from streams.store import Store
from streams.transport import BatchTransport

BATCH_BYTES = 256 * 1024
"""Records to one partition that are sent together."""


def create_app(settings: Settings, *, scorer: Scorer | None = None, clock: Clock = SYSTEM) -> faust.App:
    """The app of one worker. `scorer` answers for the model; without one, lists are behavioural."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        settings.app_id,
        version=1,
        autodiscover=False,
        datadir=str(settings.state_dir),
        broker_session_timeout=settings.session_timeout_s,
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_request_timeout=max(90.0, settings.session_timeout_s * 2),
        broker_commit_interval=settings.commit_interval_s,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.fetch_max_mb * 1024 * 1024,
        producer_max_request_size=MAX_DEAD_LETTER_BYTES + 1024 * 1024,
        producer_max_batch_size=BATCH_BYTES,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_host=settings.web_host,
        web_bind=settings.web_host,
        web_port=settings.web_port,
        worker_redirect_stdouts=False,
        **faust_options(settings),
    )
    lanes = BatchLanes()
    app.transport = BatchTransport([URL(f"kafka://{address}") for address in addresses(settings)], app, lanes)
    metrics = Metrics()

    def producer() -> Any:
        return cast(Any, app.producer)._ensure_producer()

    def reader() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=settings.fetch_max_mb * 1024 * 1024,
        )

    def changelog(partition: int, store: Store) -> Changelog:
        return Changelog(
            CONTEXTS.name,
            partition,
            store,
            producer=producer(),
            consumer=reader,
            nonce=secrets.token_bytes(16),
            now_ms=clock.now_ms,
            max_age_ms=settings.state_max_age_s * 1000,
        )

    lanes.plane = Plane(
        settings=settings,
        clock=clock,
        metrics=metrics,
        lists=None,
        publish=Publisher(producer),
        changelog=changelog,
    )
    # Registered so that the group subscribes to it; no stream reads it, the lanes do.
    app.topics.add(app.topic(EVENTS.name, value_type=bytes, acks=False))
    return app
