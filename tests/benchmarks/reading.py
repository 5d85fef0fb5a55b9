"""What reading an item costs: in two number formats, through 24 and 12 layers, in calls of several sizes.

    python -m tests.benchmarks.reading [--weights FOLDER] [--threads 2] [--rounds 5] [--json FILE]

Milliseconds an item of MovieLens-100K (title and genres), the best of some rounds in which every way has its turn; and
how many times as fast that is as bf16 through 24 layers in calls of 8. Ratios compare; milliseconds of a shared machine
say little. To have it as on a processor without AVX-512:

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python -m tests.benchmarks.reading

Readings through fewer layers are for another adapter: this times them, and says nothing of what they are worth.
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
import torch

from deploy.datasets import films
from inference.attention import IMPLEMENTATION
from inference.errors import InferenceError
from inference.item_tokens.reading import DEPTHS, Reader, compose
from inference.prepacked import prepack
from inference.repository import weights_of
from inference.settings import ModelSettings
from inference.tokens import FileTokens
from inference.weights import load_model, read_manifest
from streams.catalogue import Catalogue
from tests.benchmarks.machine import once

KEPT = Path(__file__).parents[2] / ".ouzel"
FORMATS = ("bf16", "fp32")
HALF = tuple(depth // 2 for depth in DEPTHS)
CALLS = (8, 16, 64)
BASE = "bf16, 24 layers, calls of 8"


def texts(count: int) -> list[str]:
    """What is read of the first films."""
    catalogue = Catalogue()
    for item in films().items[:count]:
        catalogue.add(item)
    described = [catalogue.described(number) for number in range(count)]
    return [compose(one.text, one.about) for one in described]


def readers(weights: Path, threads: int) -> dict[str, Reader]:
    """By format and layers, laid out as for serving."""
    torch.set_num_threads(threads)
    tokens, manifest = FileTokens(weights), read_manifest(weights)
    found = {}
    for dtype in FORMATS:
        settings = ModelSettings.make(dtype=dtype, threads=threads)
        decoder = load_model(weights, settings, IMPLEMENTATION).base_model
        prepack(decoder.layers)
        for depths in (DEPTHS, HALF):
            found[f"{dtype}, {max(depths)} layers"] = Reader(decoder, tokens, manifest.version(settings.dtype), depths)
    return found


def measure(made: dict[str, Reader], read: Sequence[str], calls: Sequence[int], rounds: int) -> dict[str, float]:
    """The milliseconds of an item by each way."""
    ways = {f"{name}, calls of {size}": (reader, size) for name, reader in made.items() for size in calls}
    seconds = {name: float("inf") for name in ways}
    for number in range(rounds + 1):
        for name, (reader, size) in ways.items():
            some = read[:size]
            taken, _ = once(lambda reader=reader, some=some: reader.read(some))  # type: ignore[misc]
            if number:  # what torch sets up at the first pass is nobody's cost
                seconds[name] = min(seconds[name], taken / len(some))
    return {name: 1e3 * taken for name, taken in seconds.items()}


def report(found: dict[str, float], threads: int) -> dict[str, Any]:
    return {
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
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    try:
        made = readers(given.weights, given.threads)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    found = report(measure(made, texts(max(CALLS)), CALLS, given.rounds), given.threads)
    print(f"{'':28} {'ms an item':>11} {'x base':>7}   ({found['processor']}, {given.threads} threads)")
    for name, way in found["ways"].items():
        print(f"{name:28} {way['milliseconds_an_item']:11.2f} {way['times_base']:7.2f}")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
