"""Where a worker's pages listen, and to whom they answer."""

from typing import Annotated, Literal

from msgspec import Meta

from streams.errors import BadSetting
from streams.secret import NO_SECRET, Secret
from streams.settings.group import Group, variable
from streams.web.loopback import is_loopback

MIN_TOKEN_LENGTH = 16


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
            "Half of them may be live pages.",
        ),
    ] = 64

    def check(self) -> None:
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
