"""An Apache Kafka with several listeners: open, with logins and rights, and with a wrong advertised address."""

import secrets
import subprocess
from pathlib import Path

from deploy.local.brokers import KafkaBroker
from inference.triton.ports import free_ports

STRANGER, READER = "stranger", "reader"
"""A login that may do nothing, and one that may see topics and do nothing with them."""

GUARDED = """\
listeners={plain},SASL_PLAINTEXT://127.0.0.1:{login},WRONG://127.0.0.1:{wrong}
advertised.listeners={advertised},SASL_PLAINTEXT://127.0.0.1:{login},WRONG://127.0.0.1:{silent}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,WRONG:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{stranger}="{password}" user_{reader}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""  # noqa: E501 - a line of properties is one line


class GuardedKafka(KafkaBroker):
    """`bootstrap` is open; `login` needs a login; `wrong` advertises `silent`, an address that does not answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.password = secrets.token_urlsafe(16)
        self.login, self.wrong, self.silent = (f"127.0.0.1:{port}" for port in free_ports(3))

    def properties(self) -> str:
        plain = dict(line.split("=", 1) for line in super().properties().splitlines())
        guarded = GUARDED.format(
            plain=plain.pop("listeners"),
            advertised=plain.pop("advertised.listeners"),
            **{name: getattr(self, name).partition(":")[2] for name in ("login", "wrong", "silent")},
            stranger=STRANGER,
            reader=READER,
            password=self.password,
        )
        del plain["listener.security.protocol.map"]
        return "".join(f"{name}={value}\n" for name, value in plain.items()) + guarded

    def allow(self, user: str, *operations: str) -> None:
        """Let `user` do these things with every topic."""
        asked = [part for operation in operations for part in ("--operation", operation)]
        command = [str(self.home / "bin" / "kafka-acls.sh"), "--bootstrap-server", self.bootstrap, "--add"]
        command += ["--allow-principal", f"User:{user}", "--topic", "*", *asked]
        subprocess.run(command, check=True, capture_output=True, timeout=240)

    def as_user(self, user: str) -> dict[str, str]:
        """The environment of a command that logs in as `user`."""
        return {
            "OUZEL_BROKERS": self.login,
            "OUZEL_SECURITY": "sasl_plaintext",
            "OUZEL_SASL_MECHANISM": "PLAIN",
            "OUZEL_SASL_USERNAME": user,
            "OUZEL_SASL_PASSWORD": self.password,
        }
