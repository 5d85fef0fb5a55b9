"""A running tritonserver, attacked by a client of its ports and by another user of its machine."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.scorers.triton import TritonScorer
from inference.triton import server
from inference.triton.ports import free_ports
from tests.support.parts import need_triton
from tests.support.patience import until
from tests.support.processes import listening, of_group, shared_memory
from tests.support.scripted_repository import scripted
from tests.support.tiny_model import request

pytestmark = pytest.mark.triton

WITHHELD = ("OUZEL_SASL_PASSWORD", "OUZEL_WEB_TOKEN", "OUZEL_PSEUDONYM_KEY", "AWS_SECRET_ACCESS_KEY")
SECRETS = {name: f"the {name.lower()} of this test" for name in WITHHELD}
TUNING = {"ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"}
CONFIG = json.dumps({"backend": "python", "max_batch_size": 0, "input": [], "output": []})
TITLE, STEER = "A-Title-To-Be-Forgotten", "a-sentence-that-a-user-wrote"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.TritonServer]:
    """A server started as `ouzel triton serve --http-port` does."""
    need_triton()
    folder = tmp_path_factory.mktemp("closed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SECRETS, **TUNING}.items():
            patch.setenv(name, value)
        running = server.start(
            scripted(folder / "repository"), log=folder / "logs" / "triton.log", http_port=free_ports(1)[0]
        )
    yield running
    running.stop()


def code(folder: Path) -> str:
    """A model that says that it ran."""
    return f"open({str(folder / 'ran')!r}, 'w').close()\n"


def over_http(address: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    """The status of an answer, to a POST if there is a body."""
    asked = urllib.request.Request(f"http://{address}{path}", data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def version(address: str) -> str:
    scorer = TritonScorer(address)
    try:
        return (await scorer.score(request(["Heat"], ["Fargo"]), timeout=60)).model_version
    finally:
        await scorer.close()


async def test_web_page_in_a_browser_cannot_run_code(served: server.TritonServer, tmp_path: Path) -> None:
    """A POST as any page may send it, without asking: a model's files come with the order to load it."""
    parameters = {"config": CONFIG, "file:1/model.py": b64encode(code(tmp_path).encode()).decode()}
    foreign = {"Content-Type": "text/plain", "Host": "rebound.example", "Origin": "https://elsewhere.example"}
    status = over_http(
        served.http,
        f"/v2/repository/models/{server.MODEL}/load",
        json.dumps({"parameters": parameters}).encode(),
        foreign,
    )
    assert not (tmp_path / "ran").exists()
    assert status == 403
    assert await version(served.grpc) == "scripted-1"


async def test_grpc_client_cannot_run_code(served: server.TritonServer, tmp_path: Path) -> None:
    files = {"file:1/model.py": code(tmp_path).encode()}
    with InferenceServerClient(served.grpc) as client, pytest.raises(InferenceServerException, match="restricted"):
        client.load_model(server.MODEL, config=CONFIG, files=files)
    assert not (tmp_path / "ran").exists()
    assert await version(served.grpc) == "scripted-1"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/repository/index", b"{}"),
        (f"/v2/repository/models/{server.MODEL}/unload", b"{}"),
        ("/v2/systemsharedmemory/status", None),
        ("/v2/systemsharedmemory/region/a/register", b'{"key": "/a", "byte_size": 8}'),
        ("/v2/cudasharedmemory/status", None),
        ("/v2/logging", b'{"log_verbose_level": 1}'),
        ("/v2/trace/setting", b"{}"),
        ("/v2/models/stats", None),
        (f"/v2/models/{server.MODEL}/config", None),
        (f"/v2/models/{server.MODEL}", None),
        (f"/v2/models/{server.MODEL}/infer", b"{}"),
        (f"/v2/models/{server.MODEL}/generate", b"{}"),
    ],
)
def test_http_answers_readiness_only(served: server.TritonServer, path: str, body: bytes | None) -> None:
    assert over_http(served.http, path, body) == 403
    assert over_http(served.http, f"/v2/models/{server.MODEL}/ready") == 200


CALLS: dict[str, Callable[[InferenceServerClient], object]] = {
    "index": lambda client: client.get_model_repository_index(),
    "unload": lambda client: client.unload_model(server.MODEL),
    "shared memory": lambda client: client.get_system_shared_memory_status(),
    "register": lambda client: client.register_system_shared_memory("a", "/a", 8),
    "cuda": lambda client: client.get_cuda_shared_memory_status(),
    "log": lambda client: client.update_log_settings({"log_verbose_level": 1}),
    "trace": lambda client: client.get_trace_settings(),
    "statistics": lambda client: client.get_inference_statistics(),
    "config": lambda client: client.get_model_config(server.MODEL),
}


@pytest.mark.parametrize("call", CALLS)
def test_grpc_answers_model_calls_only(served: server.TritonServer, call: str) -> None:
    with InferenceServerClient(served.grpc) as client:
        with pytest.raises(InferenceServerException, match="restricted"):
            CALLS[call](client)
        assert client.is_model_ready(server.MODEL)


def test_command_line_reveals_no_key(served: server.TritonServer) -> None:
    """Every user of the machine can read it. What it names as header cannot be sent, in whatever way it is written."""
    arguments = Path(f"/proc/{served.pid}/cmdline").read_text().split("\0")
    [option] = [each for each in arguments if each.startswith("--grpc-restricted-protocol=")]
    name, _, value = option.partition(":")[2].partition("=")
    for written in (name, name.replace("\n", ""), name.replace("\n", "\n "), name.replace("\n", "%0a")):
        sent = (f"triton-grpc-protocol-{written}".encode(), value.encode())
        assert calls(served.grpc, "SystemSharedMemoryStatus", [sent]) != "0"
        with socket.create_connection(split(served.http), 10) as connection:
            ask = f"GET /v2/systemsharedmemory/status HTTP/1.1\r\nHost: a\r\n{written}: {value}\r\n\r\n"
            connection.sendall(ask.encode())
            assert b" 200 " not in connection.recv(65_536)[:20]
    assert calls(served.grpc, "ModelReady", []) != "", "what this test sends is answered"


@pytest.mark.parametrize("port", ["http", "metrics"])
@pytest.mark.parametrize(
    "ask",
    [
        f"POST /v2/models/{server.MODEL}/infer",
        "POST /v2/repository/index",
        f"GET /v2/models/{server.MODEL}/ready",
        "GET /metrics",
    ],
)
async def test_many_small_chunks_do_not_end_it(served: server.TritonServer, port: str, ask: str) -> None:
    """3.6 MB of chunks of a byte ended tritonserver 2.51 (CVE-2025-23310)."""
    with socket.create_connection(split(getattr(served, port)), 10) as connection:
        try:
            connection.sendall(f"{ask} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for _ in range(60):
                connection.sendall(b"1\r\nA\r\n" * 10_000)
            connection.sendall(b"0\r\n\r\n")
            connection.recv(65_536)
        except OSError:
            pass  # it may refuse to hear the end
    assert await version(served.grpc) == "scripted-1"
    assert served.running


async def test_texts_of_users_are_not_left_in_shared_memory(served: server.TritonServer) -> None:
    scorer = TritonScorer(served.grpc)
    for session in range(20):
        asked = request([TITLE] * (5 + session), [f"{TITLE}-{at}" for at in range(20)], session=session, steer=(STEER,))
        await scorer.score(asked, timeout=60)
    await scorer.describe(asked.candidates, timeout=60)
    await scorer.close()
    regions = shared_memory(served.pid)
    assert regions
    for region in regions:
        left = region.read_bytes()
        assert (left.count(TITLE.encode()), left.count(STEER.encode())) == (0, 0)


def test_shared_memory_is_readable_by_its_owner_only(served: server.TritonServer) -> None:
    assert {region.stat().st_mode & 0o777 for region in shared_memory(served.pid)} == {0o600}


def test_processes_have_tuning_variables_and_no_secret(served: server.TritonServer) -> None:
    found = of_group(served.pid)
    assert len(found) > 1, "the model runs in a separate process"
    for process in found:
        environment = (process / "environ").read_bytes()
        assert not [value for value in SECRETS.values() if value.encode() in environment]
        assert not [name for name in TUNING if name.encode() not in environment]


def test_log_is_readable_by_its_owner_only(served: server.TritonServer) -> None:
    assert served.log.stat().st_mode & 0o777 == 0o600
    assert served.log.parent.stat().st_mode & 0o777 == 0o700


def test_without_a_port_for_it_there_is_no_http(tmp_path: Path) -> None:
    need_triton()
    running = server.start(scripted(tmp_path / "repository"), log=tmp_path / "log")
    try:
        assert listening(running.pid) == {split(address)[1] for address in (running.grpc, running.metrics)}
    finally:
        running.stop()


STARTER = """import sys
from pathlib import Path
from inference.triton import server
running = server.start(Path(sys.argv[1]), log=Path(sys.argv[2]))
print(running.pid, flush=True)
sys.stdin.read()
"""


def test_shared_memory_is_removed_on_exit_or_at_the_next_start(tmp_path: Path) -> None:
    need_triton()
    repository = scripted(tmp_path / "repository")
    command = [sys.executable, "-c", STARTER, str(repository), str(tmp_path / "first.log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        first = int(starter.stdout.readline())
        second = server.start(repository, log=tmp_path / "second.log")
        of_first, of_second = shared_memory(first), shared_memory(second.pid)
        second.stop()
        starter.kill()
    try:
        assert of_first
        assert of_second
        assert [path for path in of_second if path.exists()] == []
        server.start(repository, log=tmp_path / "third.log").stop()
        assert [path for path in of_first if not path.exists()] == [], "it is still running, though its parent is dead"
    finally:
        os.killpg(first, signal.SIGKILL)
    until(lambda: not of_group(first))
    server.start(repository, log=tmp_path / "fourth.log").stop()
    assert [path for path in of_first if path.exists()] == []


def split(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


def calls(address: str, method: str, headers: list[tuple[bytes, bytes]]) -> str:
    """The status that a gRPC call with an empty message ends with, in figures; empty if there is none. `headers` go as
    they are, which no gRPC client would do."""

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    plain = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", f"/inference.GRPCInferenceService/{method}".encode()),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    packed = b"".join(literal(name, value) for name, value in [*plain, *headers])
    received = b""
    deadline = time.monotonic() + 10
    with socket.create_connection(split(address), 10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, packed) + frame(0, 1, 1, b"\0\0\0\0\0"))
        while b"grpc-status" not in received and time.monotonic() < deadline:
            connection.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                more = connection.recv(65_536)
            except OSError:
                break
            received += more
            if not more:
                break
    _, found, after = received.partition(b"grpc-status")
    return after[1 : 1 + after[0]].decode() if found else ""
