"""The arithmetic of the benchmarks, and the GPU benchmark on a CPU with a tiny model."""

import sys

import numpy as np
import pytest
import torch

from inference.full_text.prompt import PromptWriter
from inference.item_tokens.cuda_graphs import BucketedTrunk, Ladder
from inference.item_tokens.reading import Reader
from inference.settings import ModelSettings
from inference.transformer.packing import Prompt
from inference.wire import Answered
from tests.benchmarks import gpu, reading, text_methods
from tests.benchmarks.quantization import best, spearman
from tests.support import tiny_model as tiny

SETTINGS = ModelSettings.make(dtype="fp32", threads=1, max_item_tokens=24)
ASKED = [tiny.request(["Heat", "Alien"], ["Jaws", "Fargo"], session=session) for session in range(3)]


def plain() -> torch.nn.Module:
    model = tiny.model()
    model.set_attn_implementation("sdpa")
    return model


def test_gpu_benchmark_runs_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    shapes, free = tiny.item_token_engine(), tiny.item_token_engine()
    shapes.use(BucketedTrunk(shapes._trunk, Ladder(users=(1, 2, 4), prefix=(40,), candidates=(2,))))
    writer = PromptWriter(tiny.ByteTokens(), SETTINGS)
    parts = gpu.Parts({"fp32": tiny.engine()}, {"shapes": shapes, "free": free}, plain(), writer)
    found = gpu.measure(parts, ASKED, ASKED, device="cpu", people=[1, 3], rate=1e9, repeats=1)
    assert len(found["rows"]) == 2 * (2 + 3)
    for row in found["rows"]:
        assert row["candidates_per_second"] == pytest.approx(2 * row["lists_per_second"])
        assert row["share_of_matrix_rate"] == pytest.approx(
            row["lists_per_second"] / row["lists_per_second_at_the_floor"]
        )
    gpu.show(found)
    assert "transformers, padded batch" in capsys.readouterr().out


def test_gpu_benchmark_exits_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == gpu.NO_GPU
    assert "no GPU found" in capsys.readouterr().err


def test_naive_padded_and_packed_scores_are_equal() -> None:
    writer = PromptWriter(tiny.ByteTokens(), SETTINGS)
    for asked in ASKED:
        prompt: Prompt = writer.write(asked)
        (packed,) = tiny.engine().score([asked])
        assert isinstance(packed, Answered)
        assert text_methods.naive(plain(), prompt, 2) == pytest.approx(packed.scores, abs=1e-4)
        assert text_methods.padded(plain(), prompt, 2) == pytest.approx(packed.scores, abs=1e-4)


def test_spearman_is_the_correlation_of_ranks() -> None:
    assert spearman([1.0, 2.0, 3.0], [10.0, 20.0, 1e9]) == pytest.approx(1.0)
    assert spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1])


def test_default_is_the_fastest_within_one_percent() -> None:
    def row(less: float, error: float, speed: float, agreement: float) -> dict[str, float]:
        return {
            "ndcg10": 0.2 + less,
            "ndcg10_less_fp32": less,
            "ndcg10_less_fp32_error": error,
            "speed_to_bf16": speed,
            "rank_agreement": agreement,
        }

    rows = {
        "fp32": row(0.0, 0.0, 0.5, 1.0),
        "bf16": row(-0.0010, 0.0005, 1.0, 0.9),
        "int8": row(-0.0010, 0.0015, 2.0, 0.999),
    }
    assert best(rows) == "bf16"
    rows["int8"] = row(-0.0010, 0.0005, 1.04, 0.999)
    assert best(rows) == "bf16"
    rows["int8"] = row(-0.0010, 0.0005, 2.0, 0.999)
    assert best(rows) == "int8"
    rows["bf16"] = row(-0.0030, 0.0005, 1.0, 0.9)
    rows["int8"] = row(-0.0010, 0.0005, 1.01, 0.999)
    assert best(rows) == "int8"
    unjudged = {name: {k: v for k, v in each.items() if not k.startswith("ndcg")} for name, each in rows.items()}
    assert best(unjudged) == "int8"


def test_reading_benchmark_compares_methods_with_a_baseline() -> None:
    made = {"bf16, 24 layers": Reader(tiny.model().model, tiny.ByteTokens(), "tiny-1", (1, 2))}
    took = reading.measure(made, ["Heat", "Alien"] * 8, (8, 16), rounds=1)
    gained = {reading.EXACT: np.array([1.0, 0.0, 0.5, 0.5]), "bf16, 24 layers": np.array([0.5, 0.5, 0.5, 0.5])}
    found = reading.report(took, gained, threads=1)
    assert found["ndcg10"]["bf16, 24 layers"] == {
        "ndcg10": 0.5,
        "less_fp32": 0.0,
        "error": pytest.approx(0.125**0.5 / 2),
    }
    assert (found["lists"], found["ndcg10"][reading.EXACT]["error"]) == (4, 0.0)
    assert list(found["ways"]) == [reading.BASE, "bf16, 24 layers, calls of 16"]
    assert found["ways"][reading.BASE]["times_base"] == 1.0
    assert all(way["milliseconds_an_item"] > 0 for way in found["ways"].values())
