"""The cost and quality of reading items, by number format, number of layers, and batch size.

    python -m tests.benchmarks.reading [--weights FOLDER] [--threads 2] [--rounds 5] [--lists 300] [--json FILE]

Milliseconds per item of MovieLens-100K (title and genres), the best of several alternating rounds; and the speed
relative to bf16 through 24 layers in batches of 8. Compare ratios: milliseconds on a shared machine vary. To simulate a
processor without AVX-512:

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m tests.benchmarks.reading

NDCG@10 is that of the shipped adapter, scoring in fp32 on lists of 100 candidates from after its training, including
the film that the user liked next, with all films read in the given format; the difference to fp32 is paired, with its
standard error. Readings through fewer layers would need another adapter, so they are only timed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from deploy.datasets.dataset import films
from deploy.local.progress import telling
from inference.errors import InferenceError
from inference.item_tokens.adapter import DEFAULT, load, locate
from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.reading import DEPTHS, Reader, compose
from inference.settings import ModelSettings, Quantization
from inference.transformer.attention import IMPLEMENTATION
from inference.transformer.onednn import prepack
from inference.transformer.quantization import quantize
from inference.transformer.tokenizer import FileTokens
from inference.transformer.weights import load_model, read_manifest
from inference.triton.repository import weights_of
from inference.wire import Answered
from schemas.scoring import MAX_DESCRIBED, Candidate
from streams.items.catalogue import Catalogue
from tests.benchmarks.lists import gains, lists
from tests.benchmarks.machine import once

KEPT = Path(__file__).parents[2] / ".ouzel"
FORMATS = {
    "bf16": ("bf16", Quantization.NONE),
    "fp32": ("fp32", Quantization.NONE),
    "int8_dynamic": ("fp32", Quantization.INT8_DYNAMIC),
}
EXACT = "fp32, 24 layers"
HALF = tuple(depth // 2 for depth in DEPTHS)
CALLS = (8, 16, 64)
SAMPLE = 32
"""Number of films that 8-bit layers are tested on."""

BASE = "bf16, 24 layers, calls of 8"


def texts(count: int) -> list[str]:
    """The texts of the first films."""
    catalogue = Catalogue()
    for item in films().items[:count]:
        catalogue.add(item)
    described = [catalogue.described(number) for number in range(count)]
    return [compose(one.text, one.about) for one in described]


def readers(weights: Path, threads: int) -> dict[str, Reader]:
    """Readers by format and layers, prepacked as for serving."""
    torch.set_num_threads(threads)
    tokens, manifest = FileTokens(weights), read_manifest(weights)
    found: dict[str, Any] = {}
    for name, (dtype, kind) in FORMATS.items():
        settings = ModelSettings.make(dtype=dtype, threads=threads)
        decoder = load_model(weights, settings, IMPLEMENTATION).base_model
        both = [Reader(decoder, tokens, manifest.version(settings.dtype), depths) for depths in (DEPTHS, HALF)]
        sample = texts(SAMPLE)
        exact = quantize(both[0].trunk, kind, lambda reader=both[0], sample=sample: reader.read(sample))
        if exact:
            print(f"{name}: layers left unquantized: {', '.join(exact)}")
        prepack(decoder.layers)
        found |= {f"{name}, {max(reader.depths)} layers": reader for reader in both}
    return found


def worth(weights: Path, made: dict[str, Reader], count: int) -> dict[str, NDArray[np.float64]]:
    """The NDCG gain of each of `count` lists, for each format of readings through all layers."""
    folder = locate(DEFAULT)
    cut = load(folder).cut
    asked = lists(count, history=50, shortest=5, candidates=100, after_ms=-1 if cut is None else cut.ts)
    engine = ItemTokenEngine.load(weights, folder, ModelSettings.make(dtype="fp32", prefix_cache_mib=0))
    met = (Candidate(one.text, one.item, one.about) for each in asked for one in each.request.history)
    catalogue = [*dict.fromkeys([*met, *(one for each in asked for one in each.request.candidates)])]
    found = {}
    for name, reader in made.items():
        if reader.depths != DEPTHS:
            continue
        engine.clear()
        engine._readings.reader = reader
        for at in range(0, len(catalogue), MAX_DESCRIBED):
            engine.describe(catalogue[at : at + MAX_DESCRIBED])
        answers = [engine.score([each.request])[0] for each in asked]
        assert all(isinstance(answer, Answered) for answer in answers)
        found[name] = gains(asked, [answer.scores for answer in answers if isinstance(answer, Answered)])
    return found


def measure(made: dict[str, Reader], read: Sequence[str], calls: Sequence[int], rounds: int) -> dict[str, float]:
    """Milliseconds per item for each method."""
    ways = {f"{name}, calls of {size}": (reader, size) for name, reader in made.items() for size in calls}
    seconds = {name: float("inf") for name in ways}
    for number in range(rounds + 1):
        for name, (reader, size) in ways.items():
            some = read[:size]
            taken, _ = once(lambda reader=reader, some=some: reader.read(some))
            if number:  # the first pass is a warm-up
                seconds[name] = min(seconds[name], taken / len(some))
    return {name: 1e3 * taken for name, taken in seconds.items()}


def report(found: dict[str, float], gained: dict[str, NDArray[np.float64]], threads: int) -> dict[str, Any]:
    lost = {name: one - gained[EXACT] for name, one in gained.items()}
    return {
        "lists": len(next(iter(gained.values()), [])),
        "ndcg10": {
            name: {
                "ndcg10": float(one.mean()),
                "less_fp32": float(lost[name].mean()),
                "error": float(lost[name].std() / len(one) ** 0.5),
            }
            for name, one in gained.items()
        },
        "processor": torch.backends.cpu.get_cpu_capability(),
        "onednn_max_cpu_isa": os.environ.get("ONEDNN_MAX_CPU_ISA", ""),
        "threads": threads,
        "ways": {name: {"milliseconds_an_item": ms, "times_base": found[BASE] / ms} for name, ms in found.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=weights_of(KEPT / "models" / "repository"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lists", type=int, default=300, help="for NDCG; 0: none")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        made = readers(given.weights, given.threads)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    with telling("measuring"):
        took = measure(made, texts(max(CALLS)), CALLS, given.rounds)
        found = report(took, worth(given.weights, made, given.lists) if given.lists else {}, given.threads)
    print(f"{'':28} {'ms per item':>11} {'x base':>7}   ({found['processor']}, {given.threads} threads)")
    for name, way in found["ways"].items():
        print(f"{name:28} {way['milliseconds_an_item']:11.2f} {way['times_base']:7.2f}")
    for name, one in found["ndcg10"].items():
        print(f"{name:28} NDCG@10 {one['ndcg10']:.4f}, less fp32 {one['less_fp32']:+.4f} ± {one['error']:.4f}")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
