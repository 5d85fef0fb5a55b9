"""How a worker reaches the brokers and behaves in its consumer group."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from streams.errors import BadSetting
from streams.secret import NO_SECRET, Secret
from streams.settings.group import Group, check_pair, variable

INSTANCE = re.compile(r"[A-Za-z0-9._-]{0,249}")
"""What Kafka accepts as a group.instance.id; empty means none."""


class Kafka(Group, frozen=True, kw_only=True):
    """The brokers and the consumer group."""

    brokers: Annotated[str, Meta(description="Kafka brokers, host:port, separated by commas.")] = "127.0.0.1:9092"
    app_id: Annotated[
        str, Meta(description="Consumer group. Workers with the same group share the partitions of ouzel.events.")
    ] = "ouzel"
    security: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"],
        Meta(description="Security protocol of the brokers."),
    ] = "plaintext"
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="SASL mechanism for logging in.")
    ] = "SCRAM-SHA-256"
    sasl_username: Annotated[str, Meta(description="SASL user name.")] = ""
    sasl_password: Annotated[Secret, Meta(description="SASL password.")] = NO_SECRET
    ssl_ca: Annotated[
        str, Meta(description="PEM file of the certificate authorities to trust. Empty: those of the system.")
    ] = ""
    ssl_cert: Annotated[
        str, Meta(description="PEM file of the client certificate and its chain. Empty: no client certificate.")
    ] = ""
    ssl_key: Annotated[str, Meta(description="PEM file of the client certificate's key, without a password.")] = ""
    session_timeout_s: Annotated[
        float,
        Meta(ge=1, le=300, description="After this many seconds without a heartbeat a worker loses its partitions."),
    ] = 10.0
    heartbeat_s: Annotated[
        float, Meta(ge=0.1, le=60, description="Heartbeat interval in seconds. Below the session timeout.")
    ] = 2.0
    rebalance_timeout_s: Annotated[
        float, Meta(ge=1, le=600, description="Maximum seconds for a worker to hand over its partitions.")
    ] = 30.0
    group_instance: Annotated[
        str,
        Meta(
            description="Name of this worker for static membership: unique in the group and the same after each "
            "restart. A restart within the session timeout then keeps its partitions and stops no other worker. Kafka "
            "supports this, the embedded broker does not. Empty: no static membership."
        ),
    ] = ""
    fetch_wait_ms: Annotated[
        int,
        Meta(
            ge=1,
            description="Maximum time in milliseconds that a broker holds back an empty fetch. Set it low for brokers "
            "that do not answer as soon as records arrive.",
        ),
    ] = 500
    fetch_max_mb: Annotated[int, Meta(ge=1, le=1_024, description="Megabytes prefetched per partition.")] = 4
    commit_interval_s: Annotated[
        float, Meta(ge=0.05, le=60, description="Seconds between two commits of durable offsets.")
    ] = 1.0

    def check(self) -> None:
        check_pair("ssl", self.ssl_cert, self.ssl_key)
        if not INSTANCE.fullmatch(self.group_instance):
            raise BadSetting(
                f"{variable('group_instance')} takes at most 249 letters, digits, dots, dashes and underscores."
            )
        if self.heartbeat_s >= self.session_timeout_s:
            raise BadSetting(
                f"{variable('heartbeat_s')}={self.heartbeat_s} must be below "
                f"{variable('session_timeout_s')}={self.session_timeout_s}."
            )
