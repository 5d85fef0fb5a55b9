"""An Apache Kafka whose workers can lose a right, and lose its address: the harness itself keeps both.

The plain listener is the harness's, which may do everything. The workers log in on another one, which is at one of two
addresses; they know both.
"""

import secrets
import subprocess
from pathlib import Path
from typing import Any

from deploy.local.brokers import KafkaBroker
from inference.triton.ports import free_ports
from streams.secret import Secret
from tests.support.patience import PATIENCE

USER = "faulty-worker"

SECURE = """\
listeners={plain},SASL_PLAINTEXT://127.0.0.1:{login}
advertised.listeners={advertised},SASL_PLAINTEXT://127.0.0.1:{login}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
"""  # noqa: E501 - a line of properties is one line

Right = tuple[str, str, str]
"""An operation, the sort of resource ("topic" or "group"), and its name."""


class FaultyKafka(KafkaBroker):
    """The broker; `for_workers` are the settings with which a worker reaches it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._logins = free_ports(2)
        self._password = Secret(secrets.token_urlsafe(16))

    @property
    def for_workers(self) -> dict[str, Any]:
        return {
            "brokers": ",".join(f"127.0.0.1:{port}" for port in sorted(self._logins)),
            "security": "sasl_plaintext",
            "sasl_mechanism": "PLAIN",
            "sasl_username": USER,
            "sasl_password": self._password,
        }

    def properties(self) -> str:
        plain = dict(line.split("=", 1) for line in super().properties().splitlines())
        secure = SECURE.format(
            plain=plain.pop("listeners"),
            advertised=plain.pop("advertised.listeners"),
            login=self._logins[0],
            user=USER,
            password=self._password.reveal(),
        )
        del plain["listener.security.protocol.map"]
        return "".join(f"{name}={value}\n" for name, value in plain.items()) + secure

    def move(self) -> None:
        """From its next start on, the workers find it at their other address."""
        self._logins.reverse()
        (self.folder / "server.properties").write_text(self.properties())

    def revoke(self, right: Right) -> None:
        """The workers may not do this from now on."""
        self._acl("--add", right)

    def restore(self, right: Right) -> None:
        """They may again."""
        self._acl("--remove", right, "--force")

    def configure(self, topic: str, **config: object) -> None:
        """Change settings of a topic, named with underscores for the dots."""
        pairs = ",".join(f"{name.replace('_', '.')}={value}" for name, value in config.items())
        self._tool(
            "kafka-configs.sh", "--entity-type", "topics", "--entity-name", topic, "--alter", "--add-config", pairs
        )

    def _acl(self, change: str, right: Right, *more: str) -> None:
        operation, sort, name = right
        self._tool(
            "kafka-acls.sh",
            change,
            "--deny-principal",
            f"User:{USER}",
            "--operation",
            operation,
            f"--{sort}",
            name,
            *more,
        )

    def _tool(self, script: str, *arguments: str) -> None:
        subprocess.run(
            [str(self.home / "bin" / script), "--bootstrap-server", self.bootstrap, *arguments],
            check=True,
            capture_output=True,
            timeout=PATIENCE,
        )
