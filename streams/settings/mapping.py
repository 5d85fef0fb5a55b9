"""What `ouzel mapping` reads, and the schema registry that it asks."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from streams.errors import BadSetting
from streams.secret import NO_SECRET, Secret
from streams.settings.group import Group, variable

_PLAIN = re.compile(r"[!-~]*")


class MappingRun(Group, frozen=True, kw_only=True, rename=lambda name: f"mapping_{name}".removesuffix("_file")):
    """Other topics that `ouzel mapping` turns into events and items. Workers ignore these settings."""

    file: Annotated[str, Meta(description="The mapping file (TOML). Empty: no topic is mapped.")] = ""
    group: Annotated[
        str, Meta(description="Consumer group of `ouzel mapping run`. Empty: OUZEL_APP_ID followed by -mapping.")
    ] = ""
    port: Annotated[
        int,
        Meta(ge=0, le=65_535, description="Port of its /metrics, /healthz and /readyz on 127.0.0.1. 0: no pages."),
    ] = 6068
    registry: Annotated[
        str,
        Meta(description="Address of the schema registry, http:// or https://. Needed for topics in Avro or Protobuf."),
    ] = ""
    registry_user: Annotated[str, Meta(description="User name (or API key) at the schema registry.")] = ""
    registry_password: Annotated[Secret, Meta(description="Password (or API secret) of this user.")] = NO_SECRET

    def check(self) -> None:
        if not self.registry:
            return
        url = urlsplit(self.registry)
        if url.scheme not in ("http", "https") or not url.hostname or not _PLAIN.fullmatch(self.registry):
            raise BadSetting(f"{variable('mapping_registry')} takes an address like http://registry:8081.")
        if "@" in self.registry:
            raise BadSetting(
                f"{variable('mapping_registry')} has a login in it: set {variable('mapping_registry_user')} and "
                f"{variable('mapping_registry_password')} instead."
            )
