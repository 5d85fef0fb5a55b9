"""Where a worker's pages listen, and to whom they answer."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from streams.errors import BadSetting
from streams.secret import NO_SECRET, Secret
from streams.settings.group import Group, variable
from streams.web.loopback import is_loopback

MIN_TOKEN_LENGTH = 16

ORIGIN = re.compile(r"https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?")


class Web(Group, frozen=True, kw_only=True, rename=lambda name: f"web_{name}"):
    """The worker's pages."""

    host: Annotated[str, Meta(description="Address of /metrics, /healthz and /readyz.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65_535, description="Port of these pages.")] = 6066
    token: Annotated[
        Secret,
        Meta(
            description="Bearer token for /metrics, at least 16 characters. Empty: no token is asked for, and the "
            "pages answer only under the loopback names of this machine. Required if other machines can reach "
            "OUZEL_WEB_HOST."
        ),
    ] = NO_SECRET
    page: Annotated[
        Literal["off", "on"],
        Meta(
            description="Whether to serve the live page for users at /. Its visitors see what users of this worker do "
            "and get, and send events as new users."
        ),
    ] = "off"
    api: Annotated[
        Literal["off", "on"],
        Meta(
            description="Whether to serve the HTTP API under /v1. A client of it can read and write what a producer "
            "and a consumer of the topics can: about every user."
        ),
    ] = "off"
    url: Annotated[
        str,
        Meta(
            description="Address under which other workers reach these pages, such as http://10.0.0.7:6066: they send "
            "on what the API is asked about users of this worker, with OUZEL_WEB_TOKEN. Each worker has another one. "
            "Empty: OUZEL_WEB_HOST and OUZEL_WEB_PORT if they are on loopback, else none."
        ),
    ] = ""
    cors_origins: Annotated[
        str,
        Meta(
            description="Web sites whose pages may use the API from a browser, comma-separated, such as "
            "https://shop.example. Empty: none."
        ),
    ] = ""
    api_per_second: Annotated[
        float,
        Meta(ge=1, le=100_000, description="Maximum requests per second that one address may send to the API."),
    ] = 200.0
    max_per_second: Annotated[
        float,
        Meta(
            ge=1,
            le=10_000,
            description="Maximum times per second that a page is rendered; requests in between get the last copy. Also "
            "the maximum refusals per second that an address gets with an explanation; beyond it, 429.",
        ),
    ] = 50.0
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000,
            description="Maximum connections. One more closes the oldest idle connection of the address that has most. "
            "Half of them may be live pages, and a quarter streams of the API.",
        ),
    ] = 64

    @property
    def address(self) -> str:
        """Where other workers reach these pages; empty if that is not known."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.url or (f"http://{host}:{self.port}" if is_loopback(self.host) else "")

    @property
    def origins(self) -> frozenset[str]:
        """The web sites that may use the API."""
        return frozenset(each.strip().lower() for each in self.cors_origins.split(",") if each.strip())

    def check(self) -> None:
        if self.url and not ORIGIN.fullmatch(self.url):
            raise BadSetting(f"{variable('web_url')} takes an address without a path, such as http://10.0.0.7:6066.")
        if not all(ORIGIN.fullmatch(each) for each in self.origins):
            raise BadSetting(
                f"{variable('web_cors_origins')} takes origins without a path, such as https://shop.example, separated "
                "by commas."
            )
        if self.token and not _is_token(self.token):
            raise BadSetting(f"{variable('web_token')} takes at least {MIN_TOKEN_LENGTH} visible ASCII characters.")
        if not self.token and not is_loopback(self.host):
            raise BadSetting(
                f"{variable('web_host')}={self.host} is open to other machines: set {variable('web_token')} too, or "
                "use 127.0.0.1."
            )


def _is_token(token: Secret) -> bool:
    """Whether it can be sent in a header. A separate frame: tracebacks of the settings do not hold the text."""
    text = token.reveal()
    return len(text) >= MIN_TOKEN_LENGTH and text.isascii() and text.isprintable() and " " not in text
