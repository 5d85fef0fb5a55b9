"""The model asked over TLS: a real tritonserver with its TLS options, with and without certificates of clients."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from inference.errors import TritonFailed
from inference.scorers.triton import Tls, TritonScorer
from inference.triton import server
from inference.triton.server import ServerTls, TritonServer
from schemas.scoring import Unavailable
from tests.support.tiny_model import request

PATIENT = 60.0
ASKED = request(["Heat (1995)"], ["Fargo (1996)", "Toy Story (1995)"])


@dataclass
class Certificates:
    """PEM files of the authority, the server, a client, and an untrusted authority."""

    ca: str
    stranger: str
    server: tuple[Path, Path]
    client: tuple[str, str]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca, stranger = trustme.CA(), trustme.CA()

    def files(name: str, cert: trustme.LeafCert) -> tuple[Path, Path]:
        chain, key = folder / f"{name}.pem", folder / f"{name}.key"
        for number, blob in enumerate(cert.cert_chain_pems):
            blob.write_to_path(str(chain), append=number > 0)
        cert.private_key_pem.write_to_path(str(key))
        return chain, key

    for name, authority in (("ca", ca), ("stranger", stranger)):
        authority.cert_pem.write_to_path(str(folder / name))
    chain, key = files("client", ca.issue_cert("worker@example.org"))
    return Certificates(
        ca=str(folder / "ca"),
        stranger=str(folder / "stranger"),
        server=files("server", ca.issue_cert("127.0.0.1", "localhost")),
        client=(str(chain), str(key)),
    )


@pytest.fixture(scope="module", params=["server", "mutual"])
def secured(
    request: pytest.FixtureRequest,
    exact_model: Path,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[TritonServer, bool]]:
    mutual = request.param == "mutual"
    tls = ServerTls(*certificates.server, client_ca=Path(certificates.ca) if mutual else None)
    log = tmp_path_factory.mktemp("triton") / "log"
    with server.running(exact_model, log=log, tls=tls) as running:
        yield running, mutual


@pytest.mark.triton
@pytest.mark.slow
async def test_clients_are_answered_only_with_trust_on_both_sides(
    secured: tuple[TritonServer, bool], certificates: Certificates
) -> None:
    running, mutual = secured
    shown = Tls(certificates.ca, *certificates.client)
    scorer = TritonScorer(running.grpc, tls=shown)
    assert len((await scorer.score(ASKED, timeout=PATIENT)).scores) == 2
    await scorer.close()

    anonymous = TritonScorer(running.grpc, tls=Tls(certificates.ca))
    if mutual:
        with pytest.raises(Unavailable):
            await anonymous.score(ASKED, timeout=10)
    else:
        assert len((await anonymous.score(ASKED, timeout=PATIENT)).scores) == 2
    await anonymous.close()

    for refused in (None, Tls(certificates.stranger, *certificates.client)):
        scorer = TritonScorer(running.grpc, tls=refused)
        assert not await scorer.ready()
        with pytest.raises(Unavailable):
            await scorer.score(ASKED, timeout=10)
        await scorer.close()


async def test_missing_certificate_is_named(certificates: Certificates, tmp_path: Path) -> None:
    scorer = TritonScorer("127.0.0.1:1", tls=Tls(str(tmp_path / "none")))
    assert not await scorer.ready()
    with pytest.raises(Unavailable, match="certificate"):
        await scorer.score(ASKED, timeout=1)
    await scorer.close()
    with pytest.raises(TritonFailed, match="PEM"):
        ServerTls(tmp_path / "none", certificates.server[1]).options()
