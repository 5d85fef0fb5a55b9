"""The costs and benefits of quantization: rank agreement and NDCG, speed and bytes, and the best format.

    python -m tests.benchmarks.quantization [--weights FOLDER] [--adapter NAME] [--device cpu] [--json FILE]

Two strategies on lists of MovieLens-100K, each in every number format of the device:

    full text       the plain base model, not trained to recommend
    item tokens     an adapter on its first layers

For each format: Spearman's rank correlation with the scores of fp32 (mean over lists), NDCG@10 of the film that the
user liked next among the candidates, the speed of a list relative to bf16 (formats alternate for each list), and the
bytes of the layers. An adapter is evaluated only on events after the training cutoff in its manifest; without a cutoff
there is no NDCG of item tokens. The best format is the fastest within 1% of the NDCG of fp32, by at least one standard
error, or, without NDCG, with a rank correlation of at least 0.99; it is bf16 unless another is 5% faster, since smaller
differences are noise. 8-bit formats are based on bf16, `int8_dynamic32` on fp32, for processors without bf16: with
`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` any x86-64 processor behaves like one without AVX-512.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.local.progress import telling
from inference.errors import InferenceError
from inference.full_text.engine import Engine
from inference.item_tokens import adapter as adapters
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ModelSettings, Quantization
from inference.transformer.quantization import size
from inference.triton.repository import weights_of
from inference.wire import Answered
from tests.benchmarks.lists import Asked, gains, lists
from tests.benchmarks.scoring import KEPT, adapter_folder

FORMATS: Mapping[str, Sequence[tuple[str, str, Quantization]]] = {
    "cpu": (
        ("fp32", "fp32", Quantization.NONE),
        ("bf16", "bf16", Quantization.NONE),
        ("int8", "bf16", Quantization.INT8),
        ("int8_dynamic", "bf16", Quantization.INT8_DYNAMIC),
        ("int8_dynamic32", "fp32", Quantization.INT8_DYNAMIC),
    ),
    "cuda": (
        ("fp32", "fp32", Quantization.NONE),
        ("bf16", "bf16", Quantization.NONE),
        ("int8", "bf16", Quantization.INT8),
        ("fp8", "bf16", Quantization.FP8),
    ),
}
EXACT, BASE = "fp32", "bf16"
NEAR = 0.01
AGREES = 0.99
NOISE = 0.05


@dataclass
class Format:
    """The results of one format: scores and seconds of each list, and the bytes of the layers."""

    scores: list[Sequence[float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    bytes: int = 0
    kept: tuple[str, ...] = ()


def study(engines: Mapping[str, Engine | ItemTokenEngine], asked: Sequence[Asked]) -> dict[str, Format]:
    """Run every engine on every list, alternating."""
    found = {name: Format(bytes=size(engine.layers), kept=tuple(engine.exact)) for name, engine in engines.items()}
    for one in asked:
        for name, engine in engines.items():
            if isinstance(engine, ItemTokenEngine):
                engine.score([one.request])  # reads the items; prefixes are not cached
                engine.save()  # shares readings between formats that read in the same format
            begin = time.perf_counter()
            (answer,) = engine.score([one.request])
            found[name].seconds.append(time.perf_counter() - begin)
            assert isinstance(answer, Answered)
            found[name].scores.append(answer.scores)
    return found


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def report(found: Mapping[str, Format], asked: Sequence[Asked], judged: bool) -> dict[str, Any]:
    exact, base = found[EXACT], found[BASE]
    rows: dict[str, Any] = {}
    for name, each in found.items():
        agreement = [spearman(a, b) for a, b in zip(each.scores, exact.scores, strict=True)]
        faster = [b / a for a, b in zip(each.seconds, base.seconds, strict=True)]
        rows[name] = {
            "rank_agreement": statistics.mean(agreement),
            "speed_to_bf16": statistics.median(faster),
            "bytes_of_layers": each.bytes,
            "layers_kept": list(each.kept),
        }
        if judged:
            lost = gains(asked, each.scores) - gains(asked, exact.scores)
            rows[name]["ndcg10"] = float(gains(asked, each.scores).mean())
            rows[name]["ndcg10_less_fp32"] = float(lost.mean())
            rows[name]["ndcg10_less_fp32_error"] = float(lost.std() / len(lost) ** 0.5)
    return {"lists": len(asked), "formats": rows, "best": best(rows)}


def best(rows: Mapping[str, Any]) -> str:
    """The fastest format that is good enough (see above)."""
    exact = rows[EXACT]

    def good(row: Mapping[str, Any]) -> bool:
        if "ndcg10" not in row:
            return bool(row["rank_agreement"] >= AGREES)
        return bool(row["ndcg10_less_fp32"] - row["ndcg10_less_fp32_error"] >= -NEAR * exact["ndcg10"])

    fastest = max((name for name in rows if good(rows[name])), key=lambda name: rows[name]["speed_to_bf16"])
    return BASE if good(rows[BASE]) and rows[fastest]["speed_to_bf16"] < 1 + NOISE else fastest


def show(title: str, found: Mapping[str, Any]) -> None:
    print(f"\n{title}: {found['lists']} lists")
    print(f"{'':14} {'spearman':>9} {'NDCG@10':>8} {'less fp32':>16} {'speed':>6} {'MB':>7}  unquantized layers")
    for name, row in found["formats"].items():
        quality = f"{row['ndcg10']:8.4f} {row['ndcg10_less_fp32']:+8.4f} ±{row['ndcg10_less_fp32_error']:.4f}" \
            if "ndcg10" in row else f"{'-':>8} {'-':>16}"  # fmt: skip
        kept = ", ".join(layer.removeprefix("layers.") for layer in row["layers_kept"])
        print(
            f"{name:14} {row['rank_agreement']:9.4f} {quality} {row['speed_to_bf16']:6.2f} "
            f"{row['bytes_of_layers'] / 1e6:7.1f}  {kept}"
        )
    print(f"the fastest format that is good enough: {found['best']}")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    kind = "cuda" if given.device.startswith("cuda") else "cpu"
    common = {"threads": given.threads, "device": given.device, "max_candidates": given.candidates, "max_reads": 10_000}
    found: dict[str, Any] = {}
    if given.text_lists:
        asked = lists(given.text_lists, history=15, candidates=20, shortest=5, likes_only=True)
        engines: dict[str, Engine | ItemTokenEngine] = {
            name: Engine.load(
                given.weights, ModelSettings.make(dtype=dtype, quantization=quantization, prefix_cache_mib=0, **common)
            )
            for name, dtype, quantization in FORMATS[kind]
        }
        found["full text"] = report(study(engines, asked), asked, judged=True)
        show("full text, plain base model", found["full text"])
        engines.clear()
    folder, what = adapter_folder(given.adapter, given.weights, ModelSettings.make(**common), given.layers)
    cut = adapters.load(folder).cut
    asked = lists(
        given.lists, history=50, shortest=5, candidates=given.candidates, after_ms=-1 if cut is None else cut.ts
    )
    engines = {
        name: ItemTokenEngine.load(
            given.weights,
            folder,
            ModelSettings.make(
                dtype=dtype,
                quantization=quantization,
                strategy="item_tokens",
                max_events=50,
                prefix_cache_mib=0,
                **common,
            ),
            readings=KEPT / "models" / "readings",
        )
        for name, dtype, quantization in FORMATS[kind]
    }
    found["item tokens"] = report(study(engines, asked), asked, judged=cut is not None)
    found["item tokens"]["adapter"] = what
    show(f"item tokens, adapter: {what}", found["item tokens"])
    if cut is None:
        print("no NDCG: the adapter has no training cutoff")
    return found


def _ranks(values: Sequence[float]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], np.float64)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=weights_of(KEPT / "models" / "repository"))
    parser.add_argument("--adapter", default=adapters.DEFAULT, help='a name, a folder, or "random"')
    parser.add_argument("--layers", type=int, default=4, help="layers of the random adapter")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: all available cores")
    parser.add_argument("--text-lists", type=int, default=40)
    parser.add_argument("--lists", type=int, default=400)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        with telling("measuring"):
            found = measure(given)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
