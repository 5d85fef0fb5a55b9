"""Adapters on disk: complete or refused with a reason, with the same scores after a round trip."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.errors import WeightsError
from inference.item_tokens import adapter as adapters
from inference.item_tokens.adapter import Adapter, load, locate, save
from inference.item_tokens.heads import Heads
from inference.item_tokens.learned import Learned
from schemas.scoring import Candidate, Past, ScoreRequest
from tests.support import tiny_model as tiny

LEARNED = Learned(data="films", until=7, items=("00ff",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = replace(tiny.adapter(items=("a", "b")), figures={"hr10": 0.25}, learned=(LEARNED,))
    return save(tmp_path / "mine", made, "# A card\n")


def test_adapter_survives_a_round_trip_up_to_rounding(folder: Path) -> None:
    made, found = tiny.adapter(items=("a", "b")), load(folder)
    assert (found.base, found.shape, found.items, found.depths) == ("tiny", made.shape, ("a", "b"), (1, 2))
    assert found.figures == {"hr10": 0.25}
    assert found.learned == (LEARNED,)
    assert (folder / "card.md").read_text() == "# A card\n"
    for part in ("heads", "residuals"):
        after = getattr(found, part).state_dict()
        for name, tensor in getattr(made, part).state_dict().items():
            assert torch.allclose(after[name], tensor, rtol=1e-3, atol=1e-6), name
    assert found.lora.keys() == made.lora.keys()
    assert torch.equal(found.heads.mean, made.heads.mean)
    asked = tiny.request(["Heat"], ["Alien", "Fargo"])
    (left,), (right,) = (tiny.item_token_engine(each).score([asked]) for each in (made, found))
    assert left.scores == pytest.approx(right.scores, abs=0.01)  # type: ignore[union-attr]


def test_adapter_version_follows_its_weights(folder: Path, tmp_path: Path) -> None:
    same = save(tmp_path / "same", tiny.adapter(items=("a", "b")), "another card")
    other = save(tmp_path / "other", tiny.adapter(seed=1, items=("a", "b")), "")
    assert load(folder).version == load(same).version != load(other).version
    assert len(load(folder).version) == 8


def test_saving_replaces_the_adapter_and_leaves_no_other_files(folder: Path) -> None:
    save(folder, tiny.adapter(), "")
    assert load(folder).items == ()
    assert not (folder / "items.json").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["mine"]


def test_adapter_with_infinite_weights_is_not_saved(tmp_path: Path) -> None:
    broken = tiny.adapter()
    broken.heads.project.weight[0, 0] = torch.nan
    with pytest.raises(WeightsError, match=r"heads.project.weight .* non-finite numbers; nothing was saved"):
        save(tmp_path / "mine", broken, "")
    assert list(tmp_path.iterdir()) == []


def change(folder: Path, **fields: object) -> None:
    path = folder / "adapter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_adapter_that_does_not_fit_is_refused_with_a_reason(folder: Path) -> None:
    tensors = load_file(folder / "adapter.safetensors")
    for wrong, reason in (
        ({**tensors, "heads.project.weight": torch.zeros(3, 3)}, "size mismatch for project.weight"),
        ({name: tensor for name, tensor in tensors.items() if name != "heads.norm.weight"}, "norm.weight"),
        ({**tensors, "heads.context.bias": torch.full((12,), torch.inf)}, "non-finite numbers; retrain it"),
    ):
        save_file(wrong, folder / "adapter.safetensors")
        with pytest.raises(WeightsError, match=reason):
            load(folder)
    (folder / "adapter.safetensors").write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="holds no readable adapter"):
        load(folder)


@pytest.mark.parametrize("fields", [{"reader": "r0"}, {"context": "c0"}])
def test_adapter_for_another_reading_is_refused(folder: Path, fields: dict[str, object]) -> None:
    change(folder, **fields)
    with pytest.raises(WeightsError, match="retrain it"):
        load(folder)


@pytest.mark.parametrize("fields", [{"shape": {"hidden": 0}}, {"depths": []}, {"base": 7}])
def test_manifest_out_of_bounds_is_refused(folder: Path, fields: dict[str, object]) -> None:
    change(folder, **fields)
    with pytest.raises(WeightsError, match="holds no readable adapter"):
        load(folder)


def test_adapter_belongs_to_one_language_model() -> None:
    decoder = tiny.model().model
    made = tiny.adapter()
    made.check(decoder, "tiny")
    with pytest.raises(WeightsError, match="trained on tiny, not on other"):
        made.check(decoder, "other")
    with pytest.raises(WeightsError, match=r"0\.mlp\.up_proj\.down"):
        replace(made, lora={**made.lora, "0.mlp.up_proj.down": torch.zeros(1, 1)}).check(decoder, "tiny")
    with pytest.raises(WeightsError, match="readings of 64, tiny has 32 and 32"):
        replace(made, depths=(1,)).check(decoder, "tiny")
    wide = msgspec.structs.replace(tiny.SHAPE, layers=3)
    with pytest.raises(WeightsError, match="reads 3 layers, tiny has 2"):
        replace(made, heads=Heads(wide)).check(decoder, "tiny")


def test_adapter_without_lora_is_the_bare_model() -> None:
    bare = Adapter.random(tiny.model().model, "tiny", msgspec.structs.replace(tiny.SHAPE, rank=0), depths=(1, 2))
    changes_nothing = tiny.adapter()
    idle = {name: torch.zeros_like(part) for name, part in changes_nothing.lora.items()}
    request = ScoreRequest(
        session=0, scene="", history=(Past("Ronin", "like", feeling=1),), candidates=(Candidate("Heat"),)
    )
    scores = [
        tiny.item_token_engine(each).score([request])
        for each in (bare, replace(changes_nothing, heads=bare.heads, lora=idle, depths=bare.depths))
    ]
    assert scores[0] == scores[1]
    assert tiny.item_token_engine(bare).describe([Candidate("Heat")]).width == tiny.SHAPE.width + 1


def test_adapter_is_given_by_name_or_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(str(folder)) == folder
    monkeypatch.setattr(adapters, "SHIPPED", folder.parent)
    assert locate("mine") == folder
    with pytest.raises(WeightsError, match=r"adapter 'none' was not found: train one with `ouzel train`"):
        locate("none")
