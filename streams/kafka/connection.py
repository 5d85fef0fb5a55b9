"""How a worker reaches its brokers: the same settings for Faust and for the plain aiokafka clients beside it."""

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
"""Between two tries to learn which brokers there are, while none answers."""

SEARCH_SECONDS = 3.0
"""How long the known addresses are asked in vain before, and between two times that, all of `OUZEL_BROKERS` are."""

ADDRESS_SECONDS = 5.0
"""How long one of these addresses may take to answer."""

ANSWER_SECONDS = 15.0
"""How long the brokers may take to say where everything is, all together."""

C = TypeVar("C")


class Search:
    """Looking for brokers through the addresses that an aiokafka client was given, whose names are resolved again."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._since: float | None = None

    def over(self) -> None:
        self._since = None

    async def updated(self, cluster: Any, topics: Any) -> bool:
        """Whether brokers were looked for, as it is time to, and said where everything is."""
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
    """Have an aiokafka producer or consumer rest after it has asked for the cluster's metadata in vain, and after a few
    seconds of that look for the brokers where they were found at first.

    Its sender asks again at once where a partition's leader is not known: while no broker answers, that takes a whole
    core and thousands of log lines a second. And it only asks the addresses that the brokers had when they last
    answered: where all have moved, it finds none again.
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
                await asyncio.sleep(PAUSE_SECONDS)  # a topic that is gone is asked for again and again as well
            return True
        await asyncio.sleep(PAUSE_SECONDS)
        return await search.updated(cluster, topics)

    inner._metadata_update = unhurried
    return client


def addresses(settings: Kafka) -> list[str]:
    """The brokers as host:port."""
    return [address.strip() for address in settings.brokers.split(",") if address.strip()]


def user_of(settings: Kafka) -> str:
    """Who the worker is to the brokers, for messages."""
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
    """Have aiokafka leave out of its log what a client logs in with. At level debug it writes every request down."""
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
    """Asked for the password of a key: without this, OpenSSL would ask the terminal."""
    return ""
