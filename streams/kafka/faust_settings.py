"""Faust's settings, made from the worker's."""

from typing import Any

from schemas.limits import MAX_DEAD_LETTER_BYTES
from streams.kafka.connection import faust_options
from streams.settings import Settings

BATCH_BYTES = 256 * 1024
"""Size of a batch of records sent to one partition."""

API = "/v1"
"""Ends the address of a worker that serves the HTTP API."""

SEND_SECONDS = 60.0
"""How long a send is retried before it fails, and what waits for it starts over."""


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for a Faust app."""
    return {
        "autodiscover": False,
        "datadir": str(settings.state.dir),
        "broker_session_timeout": settings.kafka.session_timeout_s,
        "broker_rebalance_timeout": settings.kafka.rebalance_timeout_s,
        "broker_heartbeat_interval": settings.kafka.heartbeat_s,
        "broker_request_timeout": max(90.0, settings.kafka.session_timeout_s * 2),
        "broker_commit_interval": settings.kafka.commit_interval_s,
        **_static_member(settings.kafka.group_instance),
        **_address(settings),
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": settings.kafka.fetch_max_mb * 1024 * 1024,
        "producer_max_request_size": MAX_DEAD_LETTER_BYTES + 1024 * 1024,
        "producer_max_batch_size": BATCH_BYTES,
        "producer_request_timeout": SEND_SECONDS,
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_host": settings.web.host,
        "web_bind": settings.web.host,
        "web_port": settings.web.port,
        "worker_redirect_stdouts": False,
        **faust_options(settings.kafka),
    }


def api_address(settings: Settings) -> str:
    """The address that this worker tells the group, under which its API is reached; empty if it has none."""
    return f"{settings.web.address}{API}" if settings.web.api == "on" and settings.web.address else ""


def _address(settings: Settings) -> dict[str, Any]:
    """Faust gives every worker the addresses of all, with their partitions."""
    address = api_address(settings)
    return {"canonical_url": address} if address else {}


def _static_member(instance: str) -> dict[str, Any]:
    """Faust accepts a previous assignment only if it was made for its own address, so each name gets an address."""
    return {"consumer_group_instance_id": instance, "canonical_url": f"http://{instance}"} if instance else {}
