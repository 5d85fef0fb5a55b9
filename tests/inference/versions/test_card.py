"""Model cards: valid metadata, one line for each gate, and the reason if a version gets no traffic."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from inference.item_tokens.adapter import SHIPPED, load, save
from inference.versions.card import (
    CARD,
    RELIABILITY,
    Subject,
    gates_table,
    version_card,
    write_card,
)
from inference.versions.gates.calibration import bins
from inference.versions.gates.judge import DEFAULT, judge
from inference.versions.gates.reliability_plot import reliability
from inference.versions.store import Gate, Learned, Version
from tests.support import tiny_model as tiny
from tests.support import trials

VERSION = Version(
    number=7,
    name="v-7",
    parent=6,
    kind="full",
    made_ms=1_700_000_000_000,
    cut_ms=1_699_999_000_000,
    events=12_345,
    likes=6_789,
    tests=400,
    learned=(
        Learned(topic="ouzel.events", partition=3, first=10, behind=20),
        Learned(topic="ouzel.events", partition=4, first=5, behind=5),
    ),
    seconds=61.2,
    cpu_seconds=118.0,
    peak_mib=900.0,
)
SUBJECT = Subject("v-7", "smollm2-135m-instruct", "the training log", "as set by the owner", "the training log")
GATES = judge(trials.same(), DEFAULT, np.random.default_rng(0))


def parsed(text: str) -> tuple[dict[str, Any], str]:
    """The metadata and the body, read without a hub."""
    match = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    assert match
    return yaml.safe_load(match[1]), match[2]


def check_metadata(text: str) -> dict[str, Any]:
    """What the hub asks of a card's metadata, as far as it can be checked here: names and a model-index whose results
    are read back as they were written."""
    data, _ = parsed(text)
    assert data.keys() <= {"base_model", "library_name", "license", "license_name", "license_link", "model-index",
                           "tags"}  # fmt: skip
    assert data["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", data["license_name"])
    assert "base_model" not in data or re.fullmatch(r"[\w.-]+/[\w.-]+", data["base_model"])
    name, results = model_index_to_eval_results(data["model-index"])
    assert name
    assert results
    for result in results:
        assert re.fullmatch(r"[a-z0-9_@-]+", result.metric_type), result
        assert np.isfinite(result.metric_value)
    card = ModelCard(text)
    assert str(card) == text
    assert card.data["eval_results"] == results
    return data


def test_card_has_lineage_gates_and_use() -> None:
    text = version_card(VERSION, "v-6", SUBJECT, GATES, figures={"ndcg10": 0.12})
    assert check_metadata(text)["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    for word in ("# Version 7", "version 6, `v-6`", "12,345 events", "2023-11-14 21:56 UTC", "offsets 10 to 19",
                 "passed all", "Intended use", "Limits", "Apache-2.0", RELIABILITY, "400 newer likes"):  # fmt: skip
        assert word in text, word
    assert "partition 4" not in text
    for gate in GATES:
        assert f"| {gate.name} | {gate.figure:.4f} |" in text


def test_card_of_a_stopped_version_begins_with_the_reason() -> None:
    bad = msgspec.structs.replace(GATES[2], passed=False, text="It is | worse\nthan the champion.")
    text = version_card(VERSION, "v-6", SUBJECT, [*GATES[:2], bad, *GATES[3:]])
    _, body = parsed(text)
    assert "gets no traffic" in body.split("##")[0]
    assert bad.name in body.split("##")[0]
    assert "It is \\| worse than the champion." in text
    assert "was not judged" in version_card(VERSION, "v-6", SUBJECT, [])


def test_table_has_a_cell_for_everything() -> None:
    gate = Gate(name="a", figure=1.0, threshold=2.0, passed=False, text="b")
    *_, header, rule, row = gates_table([gate])
    assert header.count("|") == rule.count("|") == row.count("|")
    assert "| none |" in row


def test_hostile_text_stays_data() -> None:
    hostile = "x\n---\nlicense: mit\n# y: {"
    text = version_card(VERSION, "v-6", SUBJECT._replace(name=hostile, dataset=hostile), GATES)
    data = check_metadata(text)
    assert data["model-index"][0]["name"] == hostile


def test_card_is_written_beside_the_adapter_and_keeps_its_name(tmp_path: Path) -> None:
    folder = save(tmp_path / "adapter", tiny.adapter(), "old card")
    before = load(folder).version
    trial = trials.same()
    drawn = reliability(bins(trial.challenger.predicted, trial.challenger.taken, np.random.default_rng(0)), "Version 7")
    write_card(folder, version_card(VERSION, "v-6", SUBJECT, GATES), {RELIABILITY: drawn})
    assert load(folder).version == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter.json",
        "adapter.safetensors",
        CARD,
        RELIABILITY,
    ]
    assert drawn.startswith("<svg xmlns")
    assert drawn.count("<circle") == 10


def test_plot_without_bins_is_an_empty_frame() -> None:
    assert "<circle" not in reliability([], "nothing")


@pytest.mark.parametrize("adapter", sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
def test_shipped_adapter_has_a_card_with_metadata(adapter: str) -> None:
    text = (SHIPPED / adapter / CARD).read_text()
    data = check_metadata(text)
    figures = load(SHIPPED / adapter).figures
    results = {one.metric_type: one.metric_value for one in model_index_to_eval_results(data["model-index"])[1]}
    assert results["ndcg"] == pytest.approx(figures["ndcg10"], abs=1e-6)
