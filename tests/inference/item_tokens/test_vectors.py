"""The file of a version's items: its rows are those that readings give, to the bit, and another's file is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.errors import WeightsError
from inference.item_tokens.vectors import FILE, VERSION, read_vectors, write_vectors
from inference.settings import DType
from schemas.scoring import Candidate, ItemVectors, Past, ScoreRequest
from tests.support.tiny_repository import ITEMS, engine_of, tiny_adapter, tiny_repository, tiny_version


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_repository(tmp_path_factory.mktemp("vectors"), readings="")


@pytest.fixture
def version(repository: Path, tmp_path: Path) -> Path:
    return tiny_version(tmp_path, repository, 2)


def described(engine, items: list[Candidate]) -> list[ItemVectors]:
    return [engine.describe(items[begin : begin + 50]) for begin in range(0, len(items), 50)]


def asked(engine):
    history = tuple(Past(item.text, "like", item=item.item, about=item.about, feeling=1) for item in ITEMS[:9])
    request = ScoreRequest(session=1, scene="default", history=history, candidates=tuple(ITEMS[40:80]))
    return engine.score([request])


def test_vectors_from_the_file_are_those_of_readings_to_the_bit(repository: Path, version: Path) -> None:
    with_file = engine_of(repository, version)
    assert (with_file.shipped, with_file.refused) == (len(ITEMS), "")
    (version / FILE).rename(version / "elsewhere")
    without = engine_of(repository, version)
    assert without.shipped == 0
    # In the order in which they were written: the rounding of readings depends on the pass that they share.
    without.rows(ITEMS)
    assert described(with_file, ITEMS) == described(without, ITEMS)
    assert asked(with_file) == asked(without)
    assert (with_file.counts.model, without.counts.model) == (0, len(ITEMS))


@pytest.mark.parametrize("first", [1, 1_024])
def test_items_of_the_file_are_not_read_even_after_the_warm_up(
    repository: Path, version: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the cache has to grow for the items of the warm-up."""
    monkeypatch.setattr("inference.item_tokens.item_cache._FIRST", first)
    engine = engine_of(repository, version, max_reads=100)
    engine.warm_up()
    described(engine, ITEMS)
    asked(engine)
    assert engine.counts.model == 0
    engine.describe([Candidate("An item that came later")])
    assert engine.counts.model == 1


def test_cache_grows_to_hold_the_file(repository: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path, 2)
    write_vectors(adapter, engine_of(repository, adapter), ITEMS)
    small = engine_of(repository, adapter)
    small.clear()
    small._items._cache.capacity = 40
    small.fill(adapter / FILE)
    assert len(small._items) == len(ITEMS)
    assert small._items.capacity > len(ITEMS)


def test_item_given_twice_is_written_once(repository: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path, 2)
    assert write_vectors(adapter, engine_of(repository, adapter), [*ITEMS, *ITEMS * 4]) == len(ITEMS)
    assert load_file(adapter / FILE)["keys"].shape == (len(ITEMS), 20)
    assert sorted(path.name for path in adapter.iterdir()) == sorted(
        ["adapter.json", "adapter.safetensors", "card.md", "items.json", FILE]
    )


def test_file_without_items_is_valid(repository: Path, tmp_path: Path) -> None:
    adapter = tiny_adapter(tmp_path, 2)
    assert write_vectors(adapter, engine_of(repository, adapter), []) == 0
    engine = engine_of(repository, adapter)
    assert (engine.shipped, engine.refused) == (0, "")


def test_engine_of_another_adapter_writes_nothing(repository: Path, tmp_path: Path) -> None:
    one, other = tiny_adapter(tmp_path, 2), tiny_adapter(tmp_path, 3)
    with pytest.raises(WeightsError, match="load the engine from that folder"):
        write_vectors(one, engine_of(repository, other), ITEMS)
    assert not (one / FILE).exists()


def test_file_of_another_number_format_is_refused_and_items_are_read(repository: Path, version: Path) -> None:
    engine = engine_of(repository, version, dtype=DType.BF16)
    assert engine.shipped == 0
    assert "-fp32-" in engine.refused
    assert "-bf16-" in engine.refused
    described(engine, ITEMS)
    assert engine.counts.model == len(ITEMS)


@pytest.mark.parametrize("damage", ["cut off", "garbage", "nan", "shape", "twice", "no version"])
def test_damaged_file_is_refused_with_the_reason(version: Path, repository: Path, damage: str) -> None:
    path = version / FILE
    engine = engine_of(repository, version)
    tensors, name = load_file(path), {VERSION: engine.version}
    reason = "cannot be read"
    match damage:
        case "cut off":
            path.write_bytes(path.read_bytes()[:-100])
        case "garbage":
            path.write_bytes(b"garbage")
        case "nan":
            tensors["tokens"][3, 1] = np.nan
            reason = "not finite"
            save_file(tensors, path, name)
        case "shape":
            tensors["vectors"] = torch.zeros(len(ITEMS), 3)
            reason = "other shapes"
            save_file(tensors, path, name)
        case "twice":
            tensors["keys"][1] = tensors["keys"][0]
            reason = "an item twice"
            save_file(tensors, path, name)
        case _:
            reason = "an unknown version"
            save_file(tensors, path)
    shape = engine._heads.shape
    with pytest.raises(WeightsError, match=reason):
        read_vectors(path, engine.version, shape.hidden, shape.vector)
    again = engine_of(repository, version)
    assert again.shipped == 0
    assert reason in again.refused
