"""The learner of the demo starts with the repository that tritonserver serves, however long building takes."""

import asyncio
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from deploy.demo import demo as module
from deploy.demo.demo import Demo, Options
from deploy.local.steps import Steps


async def nothing(*_: Any) -> None:
    return


class Stand(SimpleNamespace):
    """Stands for the stage; its parts start at once."""

    start_broker = start_workers = staticmethod(nothing)


@pytest.mark.parametrize("without", ["", "tritonserver is not installed"])
async def test_learner_starts_after_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    stage = Stand(
        repository=Path("usual"), control_key=Path("key"), without_triton="", addresses=(), folder=tmp_path,
        broker=SimpleNamespace(name="embedded"),
    )  # fmt: skip
    started: list[Path] = []
    built = asyncio.Event()

    async def start(given: Any, *_: Any) -> None:
        started.append(given.repository)

    async def model() -> None:
        await built.wait()
        stage.repository, stage.without_triton = Path("demo"), without

    monkeypatch.setattr(module, "start_learner", start)
    monkeypatch.setattr(module, "until_folded", nothing)
    console = Console(file=StringIO())
    demo = Demo(Options(work=tmp_path), console, stage)  # type: ignore[arg-type]
    monkeypatch.setattr(demo, "_past", nothing)
    with Steps(console) as steps:
        async with asyncio.TaskGroup() as tasks:
            building = tasks.create_task(model())
            tasks.create_task(demo._event_plane(steps, (), building))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not started
            built.set()
    assert started == ([] if without else [Path("demo")])
