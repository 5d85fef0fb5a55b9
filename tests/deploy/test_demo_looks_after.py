"""What the demo says when a part ends or stands still, without any part."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.demo import demo
from deploy.errors import StartFailed, TooSlow
from deploy.local import stack
from deploy.local.steps import Steps
from tests.support.patience import PATIENCE

KILLED = "tritonserver was killed by signal 9. Start again; its last lines are:\nI last words"
GONE = "Worker 1 was killed by signal 9. Start again; its last lines are:\nlast words"


class Parts:
    """A stage on which nothing runs: parts have ended as it is told, and workers fold nothing more."""

    without_triton = ""
    folder = Path("logs")

    class broker:  # noqa: N801 - an object with a name
        name = "embedded"

    def __init__(self) -> None:
        self.dead: str | None = None
        self.triton_dead: str | None = None
        self.looks = 0

    def ended(self) -> str | None:
        self.looks += 1
        return self.dead

    def triton_ended(self) -> str | None:
        return self.triton_dead

    async def folded(self) -> int:
        return 12_000


class Bench:
    def __init__(self, *, terminal: bool = False) -> None:
        self.out = io.StringIO()
        self.parts = Parts()
        console = Console(file=self.out, force_terminal=terminal, width=200, color_system=None)
        made: Any = demo.Demo(demo.Options(), console, self.parts)  # type: ignore[arg-type]
        self.demo = made

    async def look_after(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.demo._look_after()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LOOK_SECONDS", 0.0)


@pytest.mark.parametrize("live", [False, True])
async def test_worker_that_exits_is_named_at_once_and_once(live: bool) -> None:
    bench = Bench()
    bench.parts.dead = GONE
    bench.demo._live = live
    with pytest.raises(StartFailed, match="Worker 1 was killed"):
        await bench.look_after()
    bench.demo.tell(GONE)
    assert bench.out.getvalue() == f"ouzel: {GONE}\n"


async def test_live_picture_names_the_part_that_exited() -> None:
    bench = Bench(terminal=True)
    bench.parts.dead = GONE
    bench.demo._live = True
    with pytest.raises(StartFailed):
        await bench.look_after()
    assert bench.demo._watch.notes.warning == "Worker 1 was killed by signal 9"
    assert bench.out.getvalue() == "", "the picture's screen is gone with what is printed on it"


async def test_without_tritonserver_the_demo_does_not_begin() -> None:
    bench = Bench()
    bench.parts.triton_dead = KILLED
    with pytest.raises(StartFailed, match="tritonserver was killed"):
        await bench.look_after()


async def test_without_tritonserver_lists_go_on_and_the_view_says_so() -> None:
    bench = Bench()
    bench.parts.triton_dead = KILLED
    bench.demo._live = True
    task = asyncio.create_task(bench.look_after())
    async with asyncio.timeout(PATIENCE):
        while bench.parts.looks < 5:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    said = "tritonserver was killed by signal 9: lists continue without the model"
    assert bench.demo._watch.notes.warning == said
    assert bench.out.getvalue().count(said) == 1
    assert "I last words" in bench.out.getvalue()
    assert bench.demo.ended() is None


async def test_workers_that_fold_nothing_more_end_it_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "STALLED_SECONDS", 0.1)
    bench = Bench()
    with Steps(Console(file=io.StringIO())) as steps, steps.step("contexts and counts") as step:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(TooSlow, match=r"^the workers folded 12,000 of 80,000 ratings, .* logs.*\.$"):
                await stack.until_folded(bench.parts, step, 80_000)  # type: ignore[arg-type]
