"""Bytes and numbers through a real tritonserver, under the numpy of this environment: none may change on the way."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient, InferInput

from inference import wire
from inference.errors import TritonFailed
from inference.settings import ModelSettings
from inference.triton import server
from inference.triton.repository import config_pbtxt
from schemas.scoring import MAX_DESCRIBED, MAX_WIDTH
from tests.support.parts import need_triton

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[3]
MODEL_PY = f"""import sys

sys.path.append({str(ROOT)!r})
from tests.inference.triton.echo_model import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
"""
SIZES = (0, 1, 2, 3, 7, 64, 1_000, 40_000)

Echo = Callable[..., Awaitable[int]]


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.TritonServer]:
    need_triton()
    folder = tmp_path_factory.mktemp("echo")
    model = folder / "repository" / server.MODEL
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(config_pbtxt(ModelSettings()))
    (model / "1" / "model.py").write_text(MODEL_PY)
    with server.running(folder / "repository", log=folder / "server.log") as running:
        yield running


@pytest.fixture
async def echo(echoing: server.TritonServer) -> AsyncIterator[Echo]:
    """Asks for `scores` and `vector`, checks each byte of the answer, and says how many were asked in one batch."""
    client = InferenceServerClient(echoing.grpc)

    async def ask(scores: np.ndarray, vector: np.ndarray, *, later: bool = False) -> int:
        payload = bytes([later]) + len(scores).to_bytes(4, "little") + scores.tobytes() + vector.tobytes()
        tensor = InferInput(wire.REQUEST, [1, len(payload)], "UINT8")
        tensor.set_data_from_numpy(np.frombuffer(payload, np.uint8)[None])
        answer = await client.infer(server.MODEL, [tensor], client_timeout=60)
        for name, sent in ((wire.SCORES, scores), (wire.VECTOR, vector)):
            got = answer.as_numpy(name)
            assert (got.dtype, got.shape, got.tobytes()) == (np.float32, (1, len(sent)), sent.tobytes())
        digest, together = answer.as_numpy(wire.VERSION).tobytes().decode().split()
        assert digest == blake2b(payload, digest_size=8).hexdigest()
        return int(together)

    yield ask
    await client.close()


def drawn(rng: np.random.Generator, size: int) -> np.ndarray:
    """Any bits: not-a-numbers, infinities and denormals among them."""
    return np.frombuffer(rng.bytes(4 * size), "<f4")


@pytest.mark.parametrize("later", [False, True])
async def test_every_size_and_value_comes_back(echo: Echo, later: bool) -> None:
    rng = np.random.default_rng(1)
    for scores in SIZES:
        for vector in SIZES:
            await echo(drawn(rng, scores), drawn(rng, vector), later=later)
    for size in rng.integers(0, 3_000, (200, 2)):
        await echo(*(drawn(rng, one) for one in size), later=later)


async def test_largest_answer_comes_back(echo: Echo) -> None:
    rng = np.random.default_rng(2)
    await echo(drawn(rng, MAX_DESCRIBED), drawn(rng, MAX_DESCRIBED * MAX_WIDTH), later=True)


async def test_questions_of_different_lengths_share_a_batch(echo: Echo) -> None:
    rng = np.random.default_rng(3)
    found = await asyncio.gather(*(echo(drawn(rng, number), drawn(rng, 3 * number)) for number in range(200)))
    assert max(found) > 4


@pytest.mark.slow
async def test_memory_stays_flat(echo: Echo, echoing: server.TritonServer) -> None:
    rng = np.random.default_rng(4)

    async def ask(times: int) -> None:
        for at in range(times // 8):
            size = 16_384 + at % 100
            await asyncio.gather(*(echo(drawn(rng, 64), drawn(rng, size), later=late) for late in (0, 1) * 4))

    await ask(400)
    before = resident(echoing.pid)
    await ask(2_400)
    # A tensor kept of each question would be over 150 MB.
    assert resident(echoing.pid) - before < 24 * 2**20


def resident(group: int) -> int:
    """Bytes of memory of the processes of a process group, shared memory included."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        if os.getpgid(int(entry.name)) == group:
            total += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def test_numpy_that_does_not_exchange_tensors_is_refused(tmp_path: Path) -> None:
    """The guard at load: what `as_numpy` makes of a tensor under numpy 2 does not pass it."""
    need_triton()
    model = tmp_path / "repository" / server.MODEL
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(config_pbtxt(ModelSettings()))
    broken = "import inference.triton.tensors\ninference.triton.tensors._read = lambda tensor: tensor.as_numpy()\n"
    (model / "1" / "model.py").write_text(broken + MODEL_PY)
    with pytest.raises(TritonFailed, match=r"numpy 2.* do not exchange tensors"):
        server.start(tmp_path / "repository", log=tmp_path / "server.log")
