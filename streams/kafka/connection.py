"""How a worker reaches the brokers: the same options for Faust and for the plain aiokafka clients beside it."""

import asyncio
import logging
import ssl
from typing import Any, TypeVar

import faust
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import BadSetting
from streams.settings import Kafka

PAUSE_SECONDS = 0.2
"""Between two metadata requests while no broker answers."""

SEARCH_SECONDS = 3.0
"""After this long without an answer, and again each time, the addresses in `OUZEL_BROKERS` are asked."""

ADDRESS_SECONDS = 5.0
"""Maximum time for one of these addresses to answer."""

ANSWER_SECONDS = 15.0
"""Maximum time of one metadata update."""

C = TypeVar("C")


class Search:
    """Searches for brokers at the addresses that an aiokafka client was given, resolving their names again."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._since: float | None = None

    def over(self) -> None:
        self._since = None

    async def updated(self, cluster: Any, topics: Any) -> bool:
        """Search if it is time to; whether a broker answered with the cluster's metadata."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        if now - self._since < SEARCH_SECONDS:
            return False
        self._since = now
        for host, port, _ in self._client.hosts:
            try:
                async with asyncio.timeout(ADDRESS_SECONDS):
                    metadata = await self._ask(host, port, MetadataRequest(list(topics) if topics else None))
            except (KafkaError, OSError, TimeoutError):
                continue
            if metadata.brokers:
                cluster.update_metadata(metadata)
                return True
        return False

    async def _ask(self, host: str, port: int, request: Any) -> Any:
        client = self._client
        connection = await create_conn(
            host,
            port,
            client_id=client._client_id,
            request_timeout_ms=client._request_timeout_ms,
            ssl_context=client._ssl_context,
            security_protocol=client._security_protocol,
            sasl_mechanism=client._sasl_mechanism,
            sasl_plain_username=client._sasl_plain_username,
            sasl_plain_password=client._sasl_plain_password,
        )
        try:
            return await connection.send(request)
        finally:
            connection.close()


def paced(client: C) -> C:
    """Make an aiokafka producer or consumer pause after a failed metadata update, and after some seconds of failures
    search for the brokers at the configured addresses.

    Without this, its sender asks again at once while a partition's leader is unknown, which takes a whole core and
    thousands of log lines a second while no broker answers. And it asks only the addresses that the brokers last had:
    if all have moved, it never finds them.
    """
    inner: Any = getattr(client, "client", None) or getattr(client, "_client", None)
    update, search = inner._metadata_update, Search(inner)

    async def unhurried(cluster: Any, topics: Any) -> Any:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                updated = await update(cluster, topics)
        except TimeoutError:
            updated = False
        if updated:
            search.over()
            if topics and any(cluster.partitions_for_topic(topic) is None for topic in topics):
                await asyncio.sleep(PAUSE_SECONDS)  # a missing topic is asked for repeatedly too
            return True
        await asyncio.sleep(PAUSE_SECONDS)
        return await search.updated(cluster, topics)

    inner._metadata_update = unhurried
    return client


def addresses(settings: Kafka) -> list[str]:
    """The brokers as host:port."""
    return [address.strip() for address in settings.brokers.split(",") if address.strip()]


def user_of(settings: Kafka) -> str:
    """The worker's identity at the brokers, for messages."""
    if settings.security.startswith("sasl"):
        return f"User {settings.sasl_username}"
    return f"The owner of {settings.ssl_cert}" if settings.ssl_cert else "User ANONYMOUS"


def client_options(settings: Kafka) -> dict[str, Any]:
    """Keyword arguments for an aiokafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": addresses(settings),
        "client_id": settings.app_id,
        "security_protocol": settings.security.upper(),
        "ssl_context": _ssl_context(settings),
    }
    if settings.security.startswith("sasl"):
        _log_no_logins()
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.reveal()
    return options


def _log_no_logins() -> None:
    """Keep logins out of aiokafka's log: at level debug it writes every request."""
    logging.getLogger("aiokafka.conn").addFilter(_no_login)


def _no_login(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(type(each).__name__.startswith("SaslAuthenticateRequest") for each in arguments)


def faust_options(settings: Kafka) -> dict[str, Any]:
    """Keyword arguments for a Faust app."""
    options: dict[str, Any] = {"broker": [f"kafka://{address}" for address in addresses(settings)]}
    context = _ssl_context(settings)
    if settings.security.startswith("sasl"):
        _log_no_logins()
        options["broker_credentials"] = faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password.reveal(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = faust.SSLCredentials(context)
    return options


def _ssl_context(settings: Kafka) -> ssl.SSLContext | None:
    if not settings.security.endswith("ssl"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca or None)
        if settings.ssl_cert:
            context.load_cert_chain(settings.ssl_cert, settings.ssl_key, password=_no_password)
    except OSError as error:  # ssl.SSLError is one
        raise BadSetting(
            f"the certificates for the brokers cannot be used ({type(error).__name__}): check OUZEL_SSL_CA, "
            "OUZEL_SSL_CERT and OUZEL_SSL_KEY; they name PEM files, and the key has no password."
        ) from None
    return context


def _no_password() -> str:
    """The password of a key: without this, OpenSSL would ask on the terminal."""
    return ""
