"""An Apache Kafka that talks to whom it knows: TLS with SCRAM or PLAIN on one port, TLS with client certificates on
another.

Its plain port is for the test's own clients. Certificates and passwords are made for each broker.
"""

import secrets
import subprocess
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from deploy.local.brokers import KafkaBroker
from inference.triton.ports import free_ports
from streams.secret import Secret

USER = "ouzel-worker"

SECURE = """\
listeners={plain},SASL_SSL://127.0.0.1:{login},SSL://127.0.0.1:{mutual}
advertised.listeners={advertised},SASL_SSL://127.0.0.1:{login},SSL://127.0.0.1:{mutual}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
"""  # noqa: E501 - a line of properties is one line


AUTHORIZED = """\
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecureKafka(KafkaBroker):
    """`login` and `mutual` are its secure addresses; `ca`, `stranger`, `cert` and `key` files in PEM."""

    authorized = False
    """Whether a user needs a right for everything it does. Who comes by the plain port may do all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.password = Secret(secrets.token_urlsafe(16))
        self.login, self.mutual = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.ca, self.stranger, self.cert, self.key = (
            str(folder / name) for name in ("ca.pem", "stranger.pem", "client.pem", "client.key")
        )
        self.format_options = tuple(
            part
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for part in ("--add-scram", f"{mechanism}=[name={USER},password={self.password.reveal()}]")
        )
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.stranger)
        server = authority.issue_cert("127.0.0.1", "localhost")
        (folder / "server.pem").write_bytes(_pkcs8(server) + b"".join(each.bytes() for each in server.cert_chain_pems))
        client = authority.issue_cert("worker@example.org")
        Path(self.cert).write_bytes(b"".join(each.bytes() for each in client.cert_chain_pems))
        Path(self.key).write_bytes(_pkcs8(client))

    def properties(self) -> str:
        plain = dict(line.split("=", 1) for line in super().properties().splitlines())
        secure = SECURE.format(
            plain=plain.pop("listeners"),
            advertised=plain.pop("advertised.listeners"),
            login=self.login.partition(":")[2],
            mutual=self.mutual.partition(":")[2],
            user=USER,
            password=self.password.reveal(),
            folder=self.folder,
        )
        del plain["listener.security.protocol.map"]
        lines = "".join(f"{name}={value}\n" for name, value in plain.items())
        return lines + secure + (AUTHORIZED if self.authorized else "")

    def rights(self, *arguments: str) -> None:
        """Run `kafka-acls.sh` with these arguments for the user."""
        command = [
            str(self.home / "bin" / "kafka-acls.sh"),
            "--bootstrap-server",
            self.bootstrap,
            "--force",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def allow(self, *arguments: str) -> None:
        self.rights("--add", "--allow-principal", f"User:{USER}", *arguments)

    def deny(self, *arguments: str) -> None:
        """Take a right back that was given before."""
        self.rights("--remove", "--allow-principal", f"User:{USER}", *arguments)


def _pkcs8(cert: trustme.LeafCert) -> bytes:
    """The private key in the form that Java reads."""
    key = serialization.load_pem_private_key(cert.private_key_pem.bytes(), password=None)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class AuthorizedKafka(SecureKafka):
    """One whose users may do nothing but what they were allowed to."""

    authorized = True
