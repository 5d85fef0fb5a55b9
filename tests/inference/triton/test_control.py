"""Only a client with the key may swap the model of a running tritonserver."""

import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from inference.errors import SettingsError
from inference.scorers.triton import Tls, TritonScorer
from inference.triton import control, server
from inference.triton.ports import free_ports
from inference.triton.server import ServerTls, TritonServer
from tests.support.parts import need_triton
from tests.support.patience import PATIENCE, until
from tests.support.scripted_repository import add_version, scripted
from tests.support.tiny_model import request

KEY = "a-key-that-is-hard-to-guess"
OTHER = "a-key-of-another-server"


@dataclass
class Served:
    server: TritonServer
    repository: Path
    tls: Tls | None
    versions: int = 1

    def add_version(self) -> str:
        self.versions += 1
        add_version(self.repository, self.versions)
        return f"scripted-{self.versions}"

    async def version(self) -> str:
        scorer = TritonScorer(self.server.grpc, tls=self.tls)
        try:
            return (await scorer.score(request(["Heat"], ["Fargo"]), timeout=60)).model_version
        finally:
            await scorer.close()


@pytest.fixture(scope="module", params=["plaintext", "tls"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    need_triton()
    folder = tmp_path_factory.mktemp("control")
    encrypted: ServerTls | None = None
    tls: Tls | None = None
    if request.param == "tls":
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "ca"))
        for name in ("server", "client"):
            cert = ca.issue_cert("127.0.0.1")
            cert.cert_chain_pems[0].write_to_path(str(folder / name))
            cert.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        encrypted = ServerTls(folder / "server", folder / "server.key", client_ca=folder / "ca")
        tls = Tls(str(folder / "ca"), str(folder / "client"), str(folder / "client.key"))
    repository = scripted(folder / "repository")
    with server.running(
        repository, log=folder / "log", http_port=free_ports(1)[0], tls=encrypted, control_key=KEY
    ) as running:
        yield Served(running, repository, tls)


def over_http(served: Served, key: str | None) -> bool:
    """Whether the model was loaded."""
    asked = urllib.request.Request(
        f"http://{served.server.http}/v2/repository/models/{server.MODEL}/load",
        data=b"{}",
        headers={} if key is None else control.http_headers(key),
    )
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        if error.code != 403:
            raise
        return False


def over_grpc(served: Served, key: str | None) -> bool:
    """Whether the model was loaded."""
    tls = served.tls or Tls()
    with InferenceServerClient(
        served.server.grpc,
        ssl=served.tls is not None,
        root_certificates=tls.ca or None,
        private_key=tls.key or None,
        certificate_chain=tls.cert or None,
    ) as client:
        try:
            client.load_model(
                server.MODEL, headers=None if key is None else control.grpc_headers(key), client_timeout=PATIENCE
            )
        except InferenceServerException as error:
            if "restricted" not in str(error):
                raise
            return False
    return True


@pytest.mark.triton
@pytest.mark.parametrize("load", [over_http, over_grpc])
async def test_model_is_swapped_only_with_the_key(served: Served, load: Callable[..., bool]) -> None:
    before = await served.version()
    added = served.add_version()
    for key in (None, "", OTHER, KEY[:-1], KEY + "a", KEY.upper()):
        assert not load(served, key)
        assert await served.version() == before
    assert load(served, KEY)
    assert await served.version() == added
    assert KEY.encode() not in served.server.log.read_bytes()


@pytest.mark.triton
async def test_certificate_is_no_key(served: Served) -> None:
    assert await served.version()
    assert not over_grpc(served, None)


@pytest.mark.triton
def test_command_creates_a_key_and_does_not_print_it(tmp_path: Path) -> None:
    need_triton()
    repository = scripted(tmp_path / "repository")
    grpc, metrics = free_ports(2)
    file, out = tmp_path / "key", tmp_path / "out"
    command = [sys.executable, "-m", "deploy.cli", "triton", "serve", "--repository", str(repository)]
    command += ["--grpc-port", str(grpc), "--metrics-port", str(metrics), "--log", str(tmp_path / "log")]
    command += ["--model-control", "--control-key", str(file)]
    with out.open("w") as output:
        serving = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[3])
    try:
        until(lambda: "start workers with OUZEL_TRITON" in out.read_text() or serving.poll() is not None)
        key = file.read_text()
        add_version(repository, 2)
        with InferenceServerClient(f"127.0.0.1:{grpc}") as client:
            with pytest.raises(InferenceServerException, match="restricted"):
                client.load_model(server.MODEL)
            client.load_model(server.MODEL, headers=control.grpc_headers(key))
            assert client.get_model_metadata(server.MODEL).versions == ["2"]
        told = out.read_text()
        assert str(file) in told
        assert key not in told + (tmp_path / "log").read_text()
        assert key.encode() not in Path(f"/proc/{serving.pid}/cmdline").read_bytes()
    finally:
        serving.terminate()
        assert serving.wait(PATIENCE) == 0


def test_without_a_key_the_header_cannot_be_sent() -> None:
    """`test_triton_closed` sends it past any client, which would refuse it, to a real server."""
    [_, restricted, _] = control.server_options("scorer", None)
    name, _, value = restricted.partition(":")[2].partition("=")
    assert len(value) > 40
    assert "\n" in name
    assert value not in "".join(control.server_options("scorer", None))


def test_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "key"
    made = control.find_key(file, {})
    assert len(made) > 40
    assert control.find_key(file, {}) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert control.find_key(tmp_path / "other", {}) != made


def test_key_in_the_environment_has_precedence(tmp_path: Path) -> None:
    assert control.find_key(tmp_path / "key", {control.VARIABLE: KEY}) == KEY
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize(
    "key", ["short", "a" * 201, "a-key-with a space in it", "a-key-with=an-equals-sign", "a" * 30 + "\n"]
)
def test_weak_or_invalid_key_is_refused_and_not_printed(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=control.VARIABLE) as refused:
        control.find_key(tmp_path / "key", {control.VARIABLE: key})
    assert key not in str(refused.value)


def test_empty_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    with pytest.raises(SettingsError, match="key has no valid key"):
        control.find_key(tmp_path / "key", {})
