"""Call brokers for a command: every wait has a deadline, and every failure becomes a one-line `DeployError`.

    async with asking(bootstrap, connection, seconds=30, rights={"ouzel.items": "Read"}) as deadline:
        ...                       # talk to the brokers
        deadline.extend()         # the brokers answered: restart the timeout

The message names the address, the topic, the missing right and the next step, as far as they apply. Log lines of the
Kafka client are suppressed in this block; errors in them are collected for the message.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import errors as kafka
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts

from deploy.errors import DeployError, first_of
from deploy.kafka.rights import check_topics, leaderless, not_allowed, user_of

PLAIN: Mapping[str, Any] = {}
"""No further options of an aiokafka client: no encryption and no login."""

TIMEOUT_SECONDS = 30.0
"""Default time that a command waits for its brokers."""

PROBE_SECONDS = 2.0
"""Time limit of each diagnostic step after a failure."""

END_SECONDS = 2.0
"""Time limit for closing a Kafka client, since its brokers may be gone."""

_LOGIN = (
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
)


class Deadline:
    """The deadline of a command's wait for its brokers."""

    def __init__(self, limit: asyncio.Timeout, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds

    def extend(self, seconds: float | None = None) -> None:
        """Restart the timeout because the brokers answered; `seconds` replaces its length this once."""
        self._limit.reschedule(asyncio.get_running_loop().time() + (self._seconds if seconds is None else seconds))

    def lift(self) -> None:
        """Remove the deadline: the caller bounds its waits itself from now on."""
        self._limit.reschedule(None)


@asynccontextmanager
async def asking(
    bootstrap: str, connection: Mapping[str, Any], *, seconds: float, rights: Mapping[str, str]
) -> AsyncIterator[Deadline]:
    """Talk to the brokers in this block, which may take `seconds` without an `extend`.

    `rights` maps each topic to the right that the block needs. Raises `DeployError` for connection and broker errors;
    other exceptions propagate.
    """
    with _suppressed_log() as heard:
        try:
            async with asyncio.timeout(seconds) as limit:
                yield Deadline(limit, seconds)
        except Exception as error:
            cause = first_of(error)
            if isinstance(cause, BrokenPipeError):
                raise cause from None  # who reads our output has enough; clients of brokers do not raise it
            if not isinstance(cause, (kafka.KafkaError, TimeoutError, ConnectionError, socket.gaierror)):
                raise
            raise await explained(cause, bootstrap, connection, seconds=seconds, rights=rights, heard=heard) from error


async def explained(  # noqa: PLR0911 - one cause a paragraph
    error: BaseException,
    bootstrap: str,
    connection: Mapping[str, Any],
    *,
    seconds: float,
    rights: Mapping[str, str],
    heard: Iterable[BaseException] = (),
) -> DeployError:
    """The message for a failure, from the error itself, else from a diagnosis of the brokers."""
    who = user_of(connection)
    if isinstance(error, kafka.TopicAuthorizationFailedError):
        named = {name for each in error.args for name in ([each] if isinstance(each, str) else each)}
        topics = [topic for topic in rights if topic in named] or list(rights)
        return not_allowed(bootstrap, who, {topic: rights[topic] for topic in topics})
    if isinstance(error, kafka.ClusterAuthorizationFailedError):
        return DeployError(f"user {who} lacks rights on the cluster at {bootstrap}: grant them with kafka-acls.")
    refused = next((each for each in (error, *heard) if isinstance(each, _LOGIN)), None)
    if refused is not None:
        return DeployError(
            f"the brokers at {bootstrap} rejected the login of user {who} ({type(refused).__name__}): check "
            "OUZEL_SASL_USERNAME, OUZEL_SASL_PASSWORD and OUZEL_SASL_MECHANISM."
        )
    certificate = next((each for each in heard if isinstance(each, ssl.SSLError)), None)
    if certificate is not None:
        return DeployError(
            f"TLS with the brokers at {bootstrap} failed ({certificate.reason or certificate}): check OUZEL_SECURITY, "
            "OUZEL_SSL_CA, OUZEL_SSL_CERT and OUZEL_SSL_KEY."
        )
    found = await _looked(bootstrap, connection, rights)
    if found is not None:
        return found
    if isinstance(error, (TimeoutError, kafka.KafkaTimeoutError, kafka.RequestTimedOutError)):
        said = f"the brokers at {bootstrap} did not answer within {seconds:g} s"
        return DeployError(f"{said}: check whether they are overloaded, or wait longer (--timeout).")
    why = getattr(error, "description", "") or str(error) or type(error).__name__
    return DeployError(
        f"the brokers at {bootstrap} refused the request ({type(error).__name__}): {' '.join(why.split())}"
    )


async def ended(client: Any) -> None:
    """Stop a Kafka client within `END_SECONDS`; without brokers it would wait for them."""
    stopping = asyncio.ensure_future(client.close() if hasattr(client, "close") else client.stop())
    # In a separate task: an interrupted client may raise the CancelledError of its internal tasks.
    await asyncio.wait({stopping}, timeout=END_SECONDS)
    stopping.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await stopping


async def _looked(bootstrap: str, connection: Mapping[str, Any], rights: Mapping[str, str]) -> DeployError | None:
    """Diagnose the brokers: are they reachable, are their advertised addresses reachable, do the topics exist."""
    hosts = [(host, port) for host, port, _ in collect_hosts(bootstrap)]
    refusals = await asyncio.gather(*(_refusal(host, port) for host, port in hosts))
    if all(refusals):
        return DeployError(
            f"no broker answers at {bootstrap} ({refusals[0]}): check that it runs, and check the address (--brokers "
            "or OUZEL_BROKERS)."
        )
    client = AIOKafkaClient(**{**connection, "bootstrap_servers": bootstrap, "request_timeout_ms": 2_000})
    try:
        async with asyncio.timeout(2 * PROBE_SECONDS):
            await client.bootstrap()
            advertised = [(broker.host, broker.port) for broker in client.cluster.brokers()]
            silent = await asyncio.gather(*(_refusal(host, port) for host, port in advertised))
            away = [f"{host}:{port} ({why})" for (host, port), why in zip(advertised, silent, strict=True) if why]
            if away:
                return DeployError(
                    f"the brokers at {bootstrap} advertise {', '.join(away)}, which cannot be reached: set "
                    "advertised.listeners of the brokers to addresses reachable from here, or start that broker."
                )
            if rights:
                await check_topics(client, bootstrap, connection, rights)
                idle = await leaderless(client, rights)
                if idle:
                    return DeployError(
                        f"partitions without a leader at {bootstrap}: {', '.join(idle[:8])}. Start the brokers that "
                        "hold them."
                    )
    except DeployError as found:
        return found
    except (kafka.KafkaError, TimeoutError, OSError):
        security = connection.get("security_protocol", "PLAINTEXT").lower()
        return DeployError(
            f"{bootstrap} accepts connections but does not answer like a Kafka broker with OUZEL_SECURITY={security}: "
            "check the address, OUZEL_SECURITY and the login."
        )
    finally:
        await ended(client)
    return None


async def _refusal(host: str, port: int) -> str:
    """The reason why this address cannot be connected to; empty if it can."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {PROBE_SECONDS:g} s"
    except OSError as error:
        if isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
            return "connection refused"
        return "unknown name" if isinstance(error, socket.gaierror) else (error.strerror or "unreachable").lower()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return ""


class _Heard(logging.Handler):
    """Collects the exceptions in log lines; keeps the 8 latest."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        held = record.args if isinstance(record.args, tuple) else ()
        self.errors[:0] = [each for each in held if isinstance(each, BaseException)]
        del self.errors[8:]


@contextmanager
def _suppressed_log() -> Iterator[list[BaseException]]:
    """Suppress the Kafka client's log lines in this block, and collect the errors in them."""
    logger, heard = logging.getLogger("aiokafka"), _Heard()
    before = logger.propagate
    logger.addHandler(heard)
    logger.propagate = False
    try:
        yield heard.errors
    finally:
        logger.removeHandler(heard)
        logger.propagate = before
