"""When a worker begins to read the item graph: once it has read the catalogue, or cannot read it."""

import asyncio
from pathlib import Path

import pytest

from schemas.seen import SeenRule
from streams.app import WorkerApp, create_app
from streams.fold.context import EMPTY
from streams.fold.marking import Marking
from streams.settings import Settings
from tests.support.patience import PATIENCE
from tests.support.ranking_world import NOW, item


@pytest.fixture
def app(tmp_path: Path) -> WorkerApp:
    return create_app(Settings.make(state_dir=tmp_path, warm_up_s=0.05))


def reading(app: WorkerApp, monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Task[None], asyncio.Event]:
    """The task that is to read the graph, and whether it has begun."""
    began = asyncio.Event()

    async def run() -> None:
        began.set()

    monkeypatch.setattr(app.neighbours, "run", run)
    return asyncio.create_task(app._read_graph()), began


async def test_item_graph_is_read_after_the_catalogue(app: WorkerApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the catalogue's items would count as unknown ids, and be evicted if there are many."""
    task, began = reading(app, monkeypatch)
    for _ in range(10):  # while records arrive, it waits longer than it would without any
        app.items.records += 1
        await asyncio.sleep(0.02)
    assert not began.is_set()
    assert not app.owner._may_clear()
    app.items.caught_up.set()
    async with asyncio.timeout(PATIENCE):
        await task
    assert began.is_set()
    assert app.owner._may_clear()


async def test_unreadable_catalogue_does_not_block_the_item_graph(
    app: WorkerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, began = reading(app, monkeypatch)
    async with asyncio.timeout(PATIENCE):
        await task
    assert began.is_set()
    assert not app.owner._may_clear(), "ids are not cleared from the topic while the catalogue is unknown"


async def test_items_are_marked_before_a_partition_is_served(app: WorkerApp) -> None:
    marking = Marking(b"secret", mixed=True)
    for number in range(5_000):
        app.catalogue.add(item(f"i{number}"))
    app.items.caught_up.set()
    app.neighbours.caught_up.set()
    await app._warm(marking)
    assert not app.catalogue.unmarked(marking)
    assert not len(app.catalogue.seen(EMPTY, NOW, SeenRule(), marking))


def test_setting_bounds_the_unknown_ids(tmp_path: Path) -> None:
    app = create_app(Settings.make(state_dir=tmp_path, unknown_items=1_234))
    assert app.catalogue.index.unknown_limit == app.graph.index.unknown_limit == 1_234
