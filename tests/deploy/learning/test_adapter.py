"""`ouzel train` end to end on a tiny model: an adapter that the engine loads, and its model card."""

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace as changed

from deploy.datasets.dataset import Dataset
from deploy.learning.adapter import Options, train
from inference.errors import CheckpointError, NothingToLearn, WeightsError
from inference.item_tokens.adapter import load
from inference.training.feedback import Untaken
from inference.training.lists import ListRecipe
from inference.training.schedule import Plan
from inference.training.trainer import Recipe
from schemas.items import Item
from tests.support import tiny_model as tiny
from tests.support import training_world as world

ITEMS = tuple(Item(id=one.item, title=one.text, attributes=tuple(one.about.split(", "))) for one in world.CANDIDATES)
PEOPLE = 60


def dataset(people: int = PEOPLE) -> Dataset:
    return Dataset(ITEMS, tuple(world.events(people)), "synthetic shelves")


def options(out: Path, **chosen: object) -> Options:
    given: dict[str, object] = {
        "until": 0.8,
        "variants": 2,
        "rank": 4,
        "plan": Plan(epochs=3, validation=0.2, list_epochs=1, judged=20),
        "lists": ListRecipe(count=32, hard=4, random=2),
        "recipe": Recipe(head_rate=5e-3, lora_rate=1e-3, batch=8),
        **chosen,
    }
    return Options(out, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "mine"
    train(dataset(), options(folder), world.Base())
    return folder


def test_engine_loads_the_trained_adapter(made: Path) -> None:
    engine = tiny.item_token_engine(load(made))
    (answer,) = engine.score([tiny.request(["1 war", "2 war"], ["3 war", "3 trains"])])
    assert len(answer.scores) == 2  # type: ignore[union-attr]
    assert sorted(path.name for path in made.iterdir()) == [
        "adapter.json",
        "adapter.safetensors",
        "card.md",
        "training.svg",
    ]
    assert not made.with_name("mine.training").exists()


def test_adapter_states_until_when_it_learned(made: Path) -> None:
    events = world.events(PEOPLE)
    cut = load(made).cut
    assert cut is not None
    assert cut.share == pytest.approx(0.8)
    assert cut.ts == events[int(0.8 * len(events)) - 1].ts + 1


def test_later_events_change_nothing(made: Path, tmp_path: Path) -> None:
    events = world.events(PEOPLE)
    cut = int(0.8 * len(events))
    other = [*events[:cut], *(changed(event, item="trains-0", value=5.0) for event in events[cut:])]
    train(Dataset(ITEMS, tuple(other), ""), options(tmp_path / "other"), world.Base())
    assert load(tmp_path / "other").version == load(made).version


def test_model_card_has_the_required_facts(made: Path) -> None:
    card = (made / "card.md").read_text()
    for word in ("Base model: tiny", "synthetic shelves", "2020-09-13", "no user data", "popularity", "item-knn",
                 "recipe: ", "seed: 0", "Limits", "on lists", "calibration error"):  # fmt: skip
        assert word in card, word
    assert {"ndcg10", "hr10", "ndcg10_popularity", "tests"} <= load(made).figures.keys()
    assert (made / "training.svg").read_text().startswith("<svg xmlns")


def test_interrupted_training_resumes_to_the_same_weights(made: Path, tmp_path: Path) -> None:
    """Interrupted in each epoch, in sequence and on lists, with random dropout, variants and negatives."""
    folder = tmp_path / "stopped"
    seen: list[str] = []

    def stop_at(label: str):
        def progress(step: str, done: int, total: int) -> None:
            seen.append(step)
            if label in step:
                raise KeyboardInterrupt

        return progress

    for label in ("sequence, epoch 1", "sequence, epoch 2", "sequence, epoch 3", "lists, epoch 1"):
        with pytest.raises(KeyboardInterrupt):
            train(dataset(), options(folder, resume=bool(seen)), world.Base(), progress=stop_at(label))
        assert [path.name for path in folder.with_name("stopped.training").iterdir() if path.name[0] != "."]
    train(dataset(), options(folder, resume=True), world.Base())
    left, right = load(made), load(folder)
    assert left.version == right.version
    for name, value in left.heads.state_dict().items():
        assert torch.equal(value, right.heads.state_dict()[name]), name


def test_lists_shown_in_vain_are_learned_from(made: Path, tmp_path: Path) -> None:
    events = world.events(PEOPLE)
    shown = [
        Untaken(one.user, one.scene, one.ts - 1, one.ts, ("trains-3",), (1.0,))
        for one in events
        if one.item and not one.item.startswith("trains")
    ]
    adapter, _ = train(dataset(), options(tmp_path / "shown"), world.Base(), untaken=shown)
    assert adapter.version != load(made).version


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    def stop(label: str, done: int, total: int) -> None:
        if "epoch 2" in label:
            raise KeyboardInterrupt

    folder = tmp_path / "mine"
    with pytest.raises(KeyboardInterrupt):
        train(dataset(), options(folder), world.Base(), progress=stop)
    with pytest.raises(CheckpointError, match="another training"):
        train(dataset(), options(folder, resume=True, seed=1), world.Base())


def test_continued_training_learns_new_events(made: Path, tmp_path: Path) -> None:
    later, trained = train(
        dataset(), options(tmp_path / "next", until=1.0, start=str(made), residuals=True), world.Base()
    )
    assert later.cut is not None
    assert later.cut.share == 1.0
    assert trained.begin >= int(0.8 * len(world.events(PEOPLE)))
    assert trained.done.untrained is not None
    assert trained.done.untrained.ndcg > 0.3  # over 24 items, before this training
    assert set(later.items) <= set(world.ITEMS)
    assert load(tmp_path / "next").version != load(made).version
    assert "Continues from" in (tmp_path / "next" / "card.md").read_text()


def test_training_from_other_data_learns_all_events(made: Path, tmp_path: Path) -> None:
    items = tuple(changed(item, title=f"{item.title} again") for item in ITEMS)
    other = Dataset(items, tuple(world.events(PEOPLE)), "other shelves; more")
    adapter, trained = train(other, options(tmp_path / "next", start=str(made), residuals=True), world.Base())
    assert [one.data for one in adapter.learned] == ["synthetic shelves", "other shelves"]
    assert trained.done.tower, "the tower starts untrained, and learns everything"
    assert "which learned 0 of these events" in (tmp_path / "next" / "card.md").read_text()
    again, _ = train(dataset(), options(tmp_path / "again", until=1.0, start=str(tmp_path / "next")), world.Base())
    assert {one.data: one.until for one in again.learned} == {
        "other shelves": adapter.cut.ts if adapter.cut else 0,
        "synthetic shelves": again.cut.ts if again.cut else 0,
    }


def test_adapter_without_a_cutoff_cannot_be_continued(tmp_path: Path) -> None:
    from inference.item_tokens.adapter import save

    folder = save(tmp_path / "old", tiny.adapter(), "")
    with pytest.raises(WeightsError, match="no training cutoff"):
        train(dataset(), options(tmp_path / "new", start=str(folder)), world.Base())


def test_too_few_events_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn, match="use more events"):
        train(dataset(1), options(tmp_path / "mine", until=0.2), world.Base())


def test_newest_events_can_be_trained_last(tmp_path: Path) -> None:
    plan = Plan(epochs=1, validation=0.2, list_epochs=0, finish=True)
    adapter, trained = train(dataset(), options(tmp_path / "all", plan=plan), world.Base())
    assert trained.finished
    assert np.array_equal(trained.known, world.histories(PEOPLE).met(trained.cut))
    assert float(adapter.heads.slope) == pytest.approx(trained.calibration.slope if trained.calibration else 1.0)
    assert "final pass over the validation part" in (tmp_path / "all" / "card.md").read_text()
