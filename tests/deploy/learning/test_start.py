"""What a training starts from: never from an adapter that may have learned the events that judge it."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from deploy.datasets.dataset import Dataset
from deploy.errors import SeenBefore
from deploy.learning.start import NONE, PACKAGED, to_continue, to_judge, why_seen
from inference.errors import WeightsError
from inference.item_tokens.adapter import DEFAULT, SHIPPED, Cut, load, save
from inference.item_tokens.learned import Learned, sketch
from tests.deploy.learning.test_adapter import dataset
from tests.support import tiny_model as tiny

SMOLLM2 = "smollm2-135m-instruct"


def taught(folder: Path, data: Dataset, until: int) -> str:
    """An adapter that learned from the items of `data`, before `until`."""
    items = sketch((item.id, item.title) for item in data.items)
    made = replace(tiny.adapter(), learned=(Learned(data="shelves", until=until, items=items),))
    return str(save(folder, made, ""))


def test_packaged_adapter_says_what_it_learned_from() -> None:
    found = load(SHIPPED / DEFAULT)
    assert [one.data for one in found.learned] == ["MovieLens-100K"]
    assert found.cut is not None
    assert found.learned[0].until == found.cut.ts


def test_adapter_is_not_judged_by_what_it_learned(tmp_path: Path) -> None:
    data = dataset()
    name = taught(tmp_path / "mine", data, data.events[0].ts + 1)
    with pytest.raises(SeenBefore, match="may not be judged by these events: it learned from the same items"):
        to_judge(name, data, "tiny")
    part = replace(data, items=data.items[: len(data.items) // 2])
    with pytest.raises(SeenBefore):
        to_judge(name, part, "tiny")


def test_adapter_is_judged_by_later_events_and_by_other_items(tmp_path: Path) -> None:
    data = dataset()
    name = taught(tmp_path / "mine", data, data.events[0].ts)
    found, note = to_judge(name, data, "tiny")
    assert found is not None
    assert "learned from shelves and from none of these events" in note
    others = replace(data, items=tuple(changed(item, title=f"other {item.title}") for item in data.items))
    assert to_judge(taught(tmp_path / "late", data, 2**50), others, "tiny")[0] is not None


def test_adapter_without_a_record_is_judged_by_later_events_only() -> None:
    data = dataset()
    silent = tiny.adapter()
    assert why_seen(silent, data) == "it does not say what it learned from"
    assert why_seen(replace(silent, cut=Cut(ts=data.events[0].ts, share=1.0)), data) is None
    assert "which was before" in (why_seen(replace(silent, cut=Cut(ts=data.events[0].ts + 1, share=1.0)), data) or "")


def test_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    data = dataset()
    with pytest.raises(WeightsError, match="was trained on tiny, not on"):
        to_judge(taught(tmp_path / "mine", data, 0), data, SMOLLM2)


def test_without_a_name_the_packaged_adapter_is_used_where_it_fits() -> None:
    data = dataset()
    found, note = to_judge(None, data, SMOLLM2)
    assert found is not None
    assert "the packaged adapter, which learned from MovieLens-100K" in note
    nothing, note = to_judge(None, data, "tiny")
    assert nothing is None
    assert note == f"The scorer starts untrained, not from the packaged adapter: it belongs to {SMOLLM2}."
    assert to_judge(NONE, data, SMOLLM2) == (None, "The scorer starts untrained.")


def test_training_continues_from_the_packaged_adapter_unless_it_has_seen_the_events() -> None:
    told: list[str] = []
    data, shape = dataset(), load(SHIPPED / DEFAULT).shape
    assert to_continue(None, data, SMOLLM2, shape.layers, shape.rank, told.append) == PACKAGED
    assert to_continue(None, data, SMOLLM2, shape.layers + 1, shape.rank, told.append) is None
    assert to_continue(None, data, "tiny", shape.layers, shape.rank, told.append) is None
    assert [line.split(",")[0].split(";")[0] for line in told] == [
        "starting from the packaged adapter", "starting untrained", "starting untrained",
    ]  # fmt: skip
    assert to_continue(NONE, data, SMOLLM2, shape.layers, shape.rank, told.append) is None
    assert to_continue("mine", data, SMOLLM2, 9, 9, told.append) == "mine"
    assert len(told) == 3
