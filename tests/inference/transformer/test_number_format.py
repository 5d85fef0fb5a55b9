"""The automatic choice of number format and threads."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.errors import WeightsError
from inference.settings import DType, ModelSettings
from inference.transformer import cores
from inference.transformer.number_format import MOST_THREADS, Chosen, choose, fastest, timings

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""Set before torch is loaded, these make any x86-64 processor behave like one without AVX-512."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 64, "intermediate_size": 96, "vocab_size": 7}))
    return tmp_path


def timed(monkeypatch: pytest.MonkeyPatch, bf16: float, fp32: float) -> None:
    monkeypatch.setattr("inference.transformer.number_format.timings", lambda *_: {DType.BF16: bf16, DType.FP32: fp32})


@pytest.mark.parametrize(("bf16", "fp32", "expected"), [(1.0, 2.0, DType.BF16), (9.0, 2.0, DType.FP32)])
def test_auto_selects_the_faster_format(
    monkeypatch: pytest.MonkeyPatch, weights: Path, bf16: float, fp32: float, expected: DType
) -> None:
    timed(monkeypatch, bf16, fp32)
    chosen = choose(ModelSettings(), weights)
    assert (chosen.settings.dtype, chosen.reason) == (expected, "timed")
    assert chosen.milliseconds == {DType.BF16: bf16, DType.FP32: fp32}
    assert f"bf16 {bf16} ms, fp32 {fp32} ms" in str(chosen)


def test_explicit_format_is_not_timed(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setattr("inference.transformer.number_format.timings", lambda *_: pytest.fail("nothing is to be timed"))
    named = ModelSettings.make(dtype="fp32", threads=3)
    assert choose(named, weights) == Chosen(named, "set", {})
    chosen = choose(ModelSettings.make(device="cuda"), weights)
    assert (chosen.settings.dtype, chosen.reason) == (DType.BF16, "gpu")


@pytest.mark.parametrize(("there", "taken"), [(1, 1), (3, 3), (64, MOST_THREADS)])
def test_threads_match_the_cores_of_the_process(
    monkeypatch: pytest.MonkeyPatch, weights: Path, there: int, taken: int
) -> None:
    monkeypatch.setattr(cores, "available", lambda: there)
    assert choose(ModelSettings.make(dtype="bf16"), weights).settings.threads == taken
    assert choose(ModelSettings.make(dtype="bf16", threads=5), weights).settings.threads == 5


def test_formats_are_compared_by_their_fastest_round() -> None:
    """Another program slows down one round of each format."""
    taken: Iterator[float] = iter([0.0, 0.0, 0.050, 0.050, 0.054, 0.1, 0.102, 0.102, 0.202, 9.0])
    found = fastest({DType.BF16: lambda: None, DType.FP32: lambda: None}, lambda: next(taken))
    assert found == {DType.BF16: pytest.approx(2.0), DType.FP32: pytest.approx(4.0)}


def test_weights_without_their_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="set dtype to bf16 or fp32"):
        choose(ModelSettings(), tmp_path)


def test_real_products_are_timed() -> None:
    assert all(0 < took < 60_000 for took in timings(64, 96, 1).values())


@pytest.mark.alone
@pytest.mark.slow
def test_fp32_is_chosen_where_bf16_is_emulated(weights: Path) -> None:
    """With real sizes, in a process that sees an AVX2 processor."""
    (weights / "config.json").write_text(json.dumps({"hidden_size": 576, "intermediate_size": 1536}))
    program = (
        "import sys, torch; from pathlib import Path; from inference.transformer.number_format import choose; "
        "from inference.settings import ModelSettings; "
        "assert torch.backends.cpu.get_cpu_capability() == 'AVX2', 'ATEN_CPU_CAPABILITY has no effect'; "
        "assert not torch.ops.mkldnn._is_mkldnn_bf16_supported(), 'ONEDNN_MAX_CPU_ISA has no effect'; "
        "print(choose(ModelSettings(), Path(sys.argv[1])).settings.dtype.value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(weights)],
        env={**os.environ, **AVX2}, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["fp32"]
