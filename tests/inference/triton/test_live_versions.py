"""Several versions in one real tritonserver: loaded, asked by number and unloaded under traffic, none of the others
restarted; and again the same ones after the server was killed."""

import asyncio
import os
import re
import shutil
import signal
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace
from safetensors.torch import load_file, save_file

from inference.errors import ControlRefused, LoadRefused, TritonFailed
from inference.item_tokens.vectors import FILE
from inference.scorers.triton import TritonScorer
from inference.triton import server
from inference.triton.model_control import ModelControl
from inference.triton.placing import place, placed
from inference.triton.ports import free_ports
from inference.triton.recovery import start_others
from inference.triton.repository import served
from schemas.scoring import MAX_DESCRIBED, Past, ScoreRequest
from tests.support.parts import need_triton
from tests.support.processes import of_group
from tests.support.tiny_repository import ITEMS, tiny_repository, tiny_version

pytestmark = [pytest.mark.triton, pytest.mark.slow]

KEY = "a-key-that-is-hard-to-guess"
PATIENCE = 240.0
HISTORY = tuple(Past(item.text, "like", item=item.item, about=item.about, feeling=1) for item in ITEMS[:5])
ASKED = ScoreRequest(session=1, scene="default", history=HISTORY, candidates=tuple(ITEMS[20:40]))


@dataclass
class Served:
    """A server of a repository with version 1, and the folders of adapters by number, which are made on demand."""

    folder: Path
    repository: Path
    running: server.TritonServer
    ports: dict[str, int]
    restarts: int = 0

    def place(self, number: int) -> Path:
        return place(self.repository, number, tiny_version(self.folder, self.repository, number))

    def start_again(self) -> None:
        self.running.stop()
        self.restarts += 1
        self.running = start(self.folder, self.repository, self.ports, self.restarts)

    def stubs(self) -> dict[int, int]:
        """The processes of versions, by number."""
        found = {}
        for entry in of_group(self.running.pid):
            match = re.search(r"/scorer/(\d+)/model\.py", (entry / "cmdline").read_text())
            if match:
                found[int(match[1])] = int(entry.name)
        return found

    def metric(self, name: str, number: int) -> float:
        """The sum over the other labels."""
        with urllib.request.urlopen(f"http://{self.running.metrics}/metrics", timeout=60) as page:
            lines = page.read().decode().splitlines()
        found = [line for line in lines if line.startswith(f"{name}{{") and f'version="{number}"' in line]
        assert found, name
        return sum(float(line.rpartition(" ")[2]) for line in found)


def start(folder: Path, repository: Path, ports: dict[str, int], restarts: int = 0) -> server.TritonServer:
    return server.start(
        repository,
        log=folder / "log",
        control_key=KEY,
        restarts=restarts,
        grpc_port=ports["grpc"],
        metrics_port=ports["metrics"],
    )


@pytest.fixture(scope="module")
def triton_of_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    need_triton()
    folder = tmp_path_factory.mktemp("versions")
    repository = tiny_repository(folder)
    ports = dict(zip(("grpc", "metrics"), free_ports(2), strict=True))
    made = Served(folder, repository, start(folder, repository, ports), ports)
    yield made
    made.running.stop()


@pytest.fixture
async def control(triton_of_versions: Served) -> AsyncIterator[ModelControl]:
    made = ModelControl(triton_of_versions.running.grpc, triton_of_versions.repository, KEY)
    yield made
    await made.close()


@dataclass
class Traffic:
    """Requests one after another, each naming the champion of that moment."""

    scorer: TritonScorer
    champion: int
    answered: Counter[tuple[int, str]] = field(default_factory=Counter)
    errors: list[Exception] = field(default_factory=list)

    async def run(self) -> None:
        session = 0
        while True:
            session += 1
            number = self.champion
            try:
                answer = await self.scorer.score(replace(ASKED, session=session % 9), timeout=30, number=number)
                self.answered[number, answer.model_version] += 1
            except Exception as error:
                self.errors.append(error)

    async def more_of(self, number: int, count: int = 20) -> None:
        """Wait until version `number` was asked `count` times more."""
        goal = self.asked(number) + count
        async with asyncio.timeout(PATIENCE):
            while self.asked(number) < goal and not self.errors:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def asked(self, number: int) -> int:
        return sum(count for (each, _), count in self.answered.items() if each == number)


@asynccontextmanager
async def traffic(address: str, champion: int) -> AsyncIterator[Traffic]:
    scorer = TritonScorer(address)
    made = Traffic(scorer, champion)
    tasks = [asyncio.create_task(made.run()) for _ in range(2)]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await scorer.close()


async def test_versions_are_swapped_under_traffic_and_none_is_restarted(
    triton_of_versions: Served, control: ModelControl
) -> None:
    at = triton_of_versions
    await control.load([1])
    async with traffic(at.running.grpc, champion=1) as going:
        await going.more_of(1)
        first = at.stubs()
        assert list(first) == [1]
        at.place(2)
        await control.load([1, 2])
        assert await control.loaded() == [1, 2]
        assert [await control.ready(number) for number in (1, 2, 3)] == [True, True, False]
        both = at.stubs()
        assert both[1] == first[1], "version 1 was restarted"
        names = {number: await control.version_name(number) for number in (1, 2)}
        assert len(set(names.values())) == 2
        described = 0
        for begin in range(0, len(ITEMS), MAX_DESCRIBED):
            part = await going.scorer.describe(ITEMS[begin : begin + MAX_DESCRIBED], timeout=60, number=2)
            assert part.model_version == names[2]
            described += len(part.values) // 4 // part.width
        assert described == len(ITEMS)
        assert at.metric("ouzel_item_vectors_shipped", 2) == len(ITEMS)
        assert at.metric("ouzel_items_read_total", 2) == 0, "its vectors come with it"
        one, two = [await going.scorer.score(ASKED, timeout=30, number=number) for number in (1, 2)]
        assert (one.model_version, two.model_version) == (names[1], names[2])
        assert one.scores != two.scores
        await going.more_of(1)
        going.champion = 2
        await going.more_of(2)
        await control.load([2])
        assert await control.loaded() == [2]
        await control.retire(1)
        await going.more_of(2)
        at.place(3)
        await control.load([2, 3])
        names[3] = await control.version_name(3)
        going.champion = 3
        await going.more_of(3)
        await control.load([3])
        await control.retire(2)
        await going.more_of(3)
        assert placed(at.repository) == [1, 3], "version 1 stays for in-process scoring"
        assert at.stubs().keys() <= {3, 2}
        assert served(at.repository) == (3,)
    assert going.errors == []
    assert set(going.answered) == {(number, names[number]) for number in (1, 2, 3)}
    assert going.scorer.unnamed_instead == 0
    await control.load([1])
    await control.retire(3)


async def test_third_version_restarts_none_of_two(triton_of_versions: Served, control: ModelControl) -> None:
    at = triton_of_versions
    at.place(7)
    await control.load([1, 7])
    before = at.stubs()
    at.place(8)
    await control.load([1, 7, 8])
    assert at.stubs().items() >= before.items()
    await control.load([1])
    for number in (7, 8):
        await control.retire(number)


async def test_version_that_is_unloaded_is_answered_by_another(
    triton_of_versions: Served, control: ModelControl
) -> None:
    triton_of_versions.place(5)
    await control.load([1, 5])
    names = {number: await control.version_name(number) for number in (1, 5)}
    scorer = TritonScorer(triton_of_versions.running.grpc)
    try:
        assert (await scorer.score(ASKED, timeout=30)).model_version == names[5], "the newest answers unnamed requests"
        assert (await scorer.score(ASKED, timeout=30, number=5)).model_version == names[5]
        loading = asyncio.create_task(control.load([1]))
        found = set()
        while not loading.done() or scorer.unnamed_instead < 20:
            found.add((await scorer.score(ASKED, timeout=30, number=5)).model_version)
        await loading
        assert found <= set(names.values())
        assert names[1] in found
        assert (await scorer.score(ASKED, timeout=30, number=99)).model_version == names[1]
        before = scorer.unnamed_instead
        described = await scorer.describe(ITEMS[:3], timeout=30, number=5)
        assert described.model_version == names[1]
        assert scorer.unnamed_instead == before + 1
        assert [await scorer.ready(number) for number in (None, 1, 5, 99)] == [True, True, False, False]
        assert scorer._breakers == {}, "a version that is gone says nothing about the server"
        await scorer.forget([1], timeout=30)
        await control.retire(5)
    finally:
        await scorer.close()


async def test_forgotten_session_is_dropped_by_every_version_that_is_loaded(
    triton_of_versions: Served, control: ModelControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton_of_versions.place(6)
    await control.load([1, 6])
    scorer = TritonScorer(triton_of_versions.running.grpc)
    asked: list[int | None] = []
    ask = scorer._ask

    async def watched(request, timeout, number=None):
        asked.append(number)
        return await ask(request, timeout, number)

    monkeypatch.setattr(scorer, "_ask", watched)
    try:
        await scorer.forget([ASKED.session], timeout=30)
        assert set(asked) == {1, 6}, "also those that this scorer never named"
        await control.load([1])
        asked.clear()
        await scorer.forget([ASKED.session], timeout=30)
        assert asked == [1]
    finally:
        await scorer.close()
    await control.retire(6)


@pytest.mark.parametrize("fault", ["no adapter", "not finite"])
async def test_broken_version_is_refused_with_a_reason_and_the_others_serve_on(
    triton_of_versions: Served, control: ModelControl, fault: str
) -> None:
    at, number = triton_of_versions, {"no adapter": 10, "not finite": 11}[fault]
    await control.load([1])
    folder = at.place(number)
    if fault == "no adapter":
        shutil.rmtree(folder / "adapter")
        reason = "place the version again"
    else:
        path = folder / "adapter" / "adapter.safetensors"
        tensors = load_file(path)
        tensors["heads.bias.weight"][:] = float("nan")
        save_file(tensors, path)
        reason = "heads.bias.weight of the adapter has non-finite numbers"
    before = at.stubs()
    async with traffic(at.running.grpc, champion=1) as going:
        with pytest.raises(LoadRefused, match=rf"version {number} cannot be loaded: .*{reason}") as refused:
            await control.load([1, number])
        assert "\n" not in str(refused.value)
        assert str(refused.value).endswith("version 1 keeps serving")
        await going.more_of(1)
    assert going.errors == []
    assert await control.loaded() == [1]
    assert at.stubs() == before
    assert served(at.repository) == (1,), "a server that is restarted must not try it"
    assert not await control.ready(number)
    with pytest.raises(LoadRefused, match="load it first"):
        await control.version_name(number)
    await control.retire(number)
    assert placed(at.repository) == [1]
    at.place(number + 10)
    await control.load([1, number + 10])
    assert await control.ready(number + 10), "a later version is loaded as usual"
    assert at.stubs().items() >= before.items()
    await control.load([1])
    await control.retire(number + 10)


async def test_version_that_was_not_placed_is_refused(triton_of_versions: Served, control: ModelControl) -> None:
    await control.load([1])
    with pytest.raises(LoadRefused, match="has no version 77: place it first; version 1 keeps serving"):
        await control.load([1, 77])
    with pytest.raises(LoadRefused, match="before you retire it"):
        await control.retire(1)
    assert await control.loaded() == [1]


async def test_damaged_vectors_are_refused_and_items_are_read(
    triton_of_versions: Served, control: ModelControl
) -> None:
    at = triton_of_versions
    folder = at.place(30)
    (folder / "adapter" / FILE).write_bytes(b"garbage")
    await control.load([1, 30])
    scorer = TritonScorer(at.running.grpc)
    try:
        assert (await scorer.describe(ITEMS[:3], timeout=60, number=30)).values
    finally:
        await scorer.close()
    assert at.metric("ouzel_item_vectors_shipped", 30) == 0
    assert re.search(rf"{FILE} cannot be read .* items are read instead", at.running.log.read_text())
    await control.load([1])
    await control.retire(30)


async def test_server_that_is_killed_serves_the_same_versions_again(
    triton_of_versions: Served, control: ModelControl
) -> None:
    at = triton_of_versions
    at.place(40)
    at.place(41)
    await control.load([1, 40])
    names = {number: await control.version_name(number) for number in (1, 40)}
    os.kill(at.running.pid, signal.SIGKILL)
    with pytest.raises(TritonFailed, match="check the server"):
        await control.load([1, 40])
    await asyncio.to_thread(at.start_again)
    async with asyncio.timeout(PATIENCE):
        while not (await control.ready(1) and await control.ready(40)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert {number: await control.version_name(number) for number in (1, 40)} == names
    assert await control.loaded() == [1, 40], "41 was placed, and never loaded"
    before = at.stubs()
    await control.load([1, 40, 41])
    assert at.stubs().items() >= before.items()
    await control.load([1])
    for number in (40, 41):
        await control.retire(number)


async def test_version_that_is_damaged_while_the_server_is_down_keeps_no_other_from_serving(
    triton_of_versions: Served, control: ModelControl
) -> None:
    at = triton_of_versions
    folder = at.place(50)
    await control.load([1, 50])
    at.running.stop()
    shutil.rmtree(folder / "adapter")
    told: list[str] = []
    await asyncio.to_thread(start_others, at.start_again, at.repository, told.append)
    assert await control.loaded() == [1]
    assert len(told) == 1
    assert "version 50 cannot be loaded" in told[0]
    assert "place the version again" in told[0]
    await control.retire(50)


async def test_wrong_key_loads_nothing(triton_of_versions: Served) -> None:
    other = ModelControl(triton_of_versions.running.grpc, triton_of_versions.repository, "a-key-of-another-server")
    try:
        with pytest.raises(ControlRefused, match="--model-control"):
            await other.load([1])
        with pytest.raises(ControlRefused, match="OUZEL_TRITON_CONTROL_KEY"):
            await other.loaded()
        assert await other.ready(1), "readiness needs no key"
        assert await other.version_name(1)
    finally:
        await other.close()
