"""How a worker reaches its brokers: the same settings for Faust and for the plain aiokafka clients beside it."""

import asyncio
import ssl
from typing import Any, TypeVar

import faust

from streams.errors import BadSetting
from streams.settings import Settings

PAUSE_SECONDS = 0.2
"""Between two tries to learn which brokers there are, while none answers."""

C = TypeVar("C")


def paced(client: C) -> C:
    """Have an aiokafka producer or consumer rest after it has asked for the cluster's metadata in vain.

    Its sender asks again at once where a partition's leader is not known: while no broker answers, that takes a whole
    core and thousands of log lines a second.
    """
    inner: Any = getattr(client, "client", None) or getattr(client, "_client", None)
    update = inner._metadata_update

    async def unhurried(cluster: Any, topics: Any) -> Any:
        updated = await update(cluster, topics)
        if not updated:
            await asyncio.sleep(PAUSE_SECONDS)
        return updated

    inner._metadata_update = unhurried
    return client


def addresses(settings: Settings) -> list[str]:
    """The brokers as host:port."""
    return [address.strip() for address in settings.brokers.split(",") if address.strip()]


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for an aiokafka client."""
    options: dict[str, Any] = {
        "bootstrap_servers": addresses(settings),
        "client_id": settings.app_id,
        "security_protocol": settings.security.upper(),
        "ssl_context": _ssl_context(settings),
    }
    if settings.security.startswith("sasl"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.reveal()
    return options


def faust_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for a Faust app."""
    options: dict[str, Any] = {"broker": [f"kafka://{address}" for address in addresses(settings)]}
    context = _ssl_context(settings)
    if settings.security.startswith("sasl"):
        options["broker_credentials"] = faust.SASLCredentials(
            username=settings.sasl_username,
            password=settings.sasl_password.reveal(),
            mechanism=settings.sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        options["broker_credentials"] = faust.SSLCredentials(context)
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
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
