"""How close a GPU gets to its arithmetic limit when scoring, compared with transformers' padded batches.

    python -m tests.benchmarks.gpu [--weights FOLDER] [--adapter NAME] [--device cuda] [--json FILE]

First measures the rate of bf16 matrix products. Together with the FLOPs of a list (`inference.transformer.flops`) it
gives the limit: the lists per second if the GPU did nothing else. Then, for batches of 1, 4 and 16 users:

    item tokens     50 events of context, 100 candidates: with and without CUDA graphs, in bf16 and fp8
    full text       20 likes of context, 64 candidates: packed, packed with cached prefixes, and transformers' padded
                    batch

Exits with 3 without a GPU. `--device cpu` runs the same code on a CPU, as a smoke test.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import msgspec
import torch

from inference.errors import InferenceError
from inference.full_text.engine import Engine
from inference.full_text.prompt import PromptWriter
from inference.item_tokens import adapter as adapters
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ModelSettings, Quantization
from inference.transformer.flops import flops
from inference.transformer.packing import pack
from inference.transformer.tokenizer import FileTokens
from inference.transformer.weights import load_model
from inference.triton.repository import weights_of
from inference.wire import Answered
from schemas.scoring import ScoreRequest
from tests.benchmarks.lists import lists
from tests.benchmarks.machine import matrix_rate, timed
from tests.benchmarks.scoring import KEPT, adapter_folder, token_cost
from tests.benchmarks.text_methods import padded

NO_GPU = 3


Way = tuple[str, Callable[[], object], int]
"""A name, a function that scores some lists, and its FLOPs."""


@dataclass(frozen=True)
class Parts:
    """The objects to measure: engines by name, the plain transformers model, and the prompt writer."""

    text: Mapping[str, Engine]
    items: Mapping[str, ItemTokenEngine]
    plain: Any
    writer: PromptWriter


def measure(
    parts: Parts,
    text_lists: Sequence[ScoreRequest],
    item_lists: Sequence[ScoreRequest],
    *,
    device: str,
    people: Sequence[int],
    rate: float,
    repeats: int = 20,
) -> dict[str, Any]:
    """Lists and candidates per second of each method, for batches of `people` users, and the share of `rate`
    (FLOP/s)."""
    rows = []
    for asked, count, ways in [
        *((item_lists[:n], n, _item_ways(parts, item_lists[:n])) for n in people),
        *((text_lists[:n], n, _text_ways(parts, text_lists[:n])) for n in people),
    ]:
        candidates = sum(len(one.candidates) for one in asked)
        for name, way, work in ways:
            seconds = timed(way, repeats, device)
            rows.append(
                {
                    "way": name,
                    "people": count,
                    "lists_per_second": count / seconds,
                    "candidates_per_second": candidates / seconds,
                    "flops_of_a_list": work / count,
                    "lists_per_second_at_the_floor": count * rate / work,
                    "share_of_matrix_rate": work / seconds / rate,
                }
            )
    return {"matrix_flops": rate, "device": device, "rows": rows}


def _item_ways(parts: Parts, asked: Sequence[ScoreRequest]) -> Iterator[Way]:
    """Every item-token engine on these lists, whose items are read in advance."""
    for name, engine in parts.items.items():
        engine.score(asked)
        work = sum(token_cost(engine, parts.plain.config, one)[1] for one in asked)
        yield f"item tokens, {name}", lambda engine=engine: _checked(engine.score(asked)), work


def _text_ways(parts: Parts, asked: Sequence[ScoreRequest]) -> Iterator[Way]:
    """Every full-text engine on these lists, with and without cached prefixes, and transformers."""
    config = parts.plain.config
    prompts = [parts.writer.write(one) for one in asked]
    packed = [pack(prompt, 0) for prompt in prompts]
    work = sum(flops(config, config.num_hidden_layers, p.layout, len(set(p.predictors.tolist()))) for p in packed)

    def cold(engine: Engine) -> None:
        engine.clear()
        _checked(engine.score(asked))

    for name, engine in parts.text.items():
        yield f"full text, {name}", lambda engine=engine: cold(engine), work
        yield f"full text, {name}, cached prefixes", lambda engine=engine: _checked(engine.score(asked)), work
    yield (
        "full text, transformers, padded batch",
        lambda: [padded(parts.plain, prompt, len(prompt.candidates)) for prompt in prompts],
        work,
    )


def show(found: Mapping[str, Any]) -> None:
    print(f"matrix rate: {found['matrix_flops'] / 1e12:.3g} TFLOP/s (bf16)")
    print(f"{'':52} {'users':>6} {'lists/s':>9} {'cand./s':>9} {'at limit':>9} {'of rate':>8}")
    for row in found["rows"]:
        print(
            f"{row['way']:52} {row['people']:6} {row['lists_per_second']:9.1f} {row['candidates_per_second']:9.0f} "
            f"{row['lists_per_second_at_the_floor']:9.1f} {row['share_of_matrix_rate']:8.1%}"
        )
    print("all full-text methods count the FLOPs of packed lists, so shares are comparable; caching is not subtracted")


def load(given: argparse.Namespace) -> Parts:
    gpu = given.device.startswith("cuda")
    common = {"device": given.device, "threads": given.threads, "dtype": "bf16", "max_batch": max(given.people)}
    folder, what = adapter_folder(given.adapter, given.weights, ModelSettings.make(threads=given.threads), given.layers)
    print(f"{torch.cuda.get_device_name(given.device) if gpu else 'CPU'}; adapter: {what}")
    kinds = [Quantization.NONE, Quantization.FP8] if gpu else [Quantization.NONE]
    items = {
        f"{'bf16' if kind is Quantization.NONE else kind.value}, {'graphs' if graphs else 'no graphs'}": (
            ItemTokenEngine.load(
                given.weights, folder,
                ModelSettings.make(strategy="item_tokens", quantization=kind, graphs=graphs, prefix_cache_mib=0,
                                   max_reads=10_000, max_pass_tokens=65_536, **common),
            )
        )
        for kind in kinds
        for graphs in ([True, False] if gpu else [False])
    }  # fmt: skip
    text = {
        "bf16" if kind is Quantization.NONE else kind.value: Engine.load(
            given.weights, ModelSettings.make(quantization=kind, max_pass_tokens=16_384, max_history=21, **common)
        )
        for kind in kinds
    }
    plain_settings = ModelSettings.make(max_history=21, **common)
    for engine in items.values():
        engine.warm_up()
    for each in text.values():
        each.warm_up()
    plain = load_model(given.weights, plain_settings, "sdpa")
    return Parts(text, items, plain, PromptWriter(FileTokens(given.weights), plain_settings))


def _checked(answers: Sequence[object]) -> None:
    """Fail on refused lists, which would be fast."""
    assert all(isinstance(answer, Answered) for answer in answers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=weights_of(KEPT / "models" / "repository"))
    parser.add_argument("--adapter", default=adapters.DEFAULT, help='a name, a folder, or "random"')
    parser.add_argument("--layers", type=int, default=4, help="layers of the random adapter")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU found: nothing was measured (--device cpu runs the same code)", file=sys.stderr)
        return NO_GPU
    try:
        parts = load(given)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    count = max(given.people)
    rate = matrix_rate(size=8192 if given.device.startswith("cuda") else 2048, device=given.device)
    found = measure(
        parts,
        [one.request for one in lists(count, history=20, candidates=64, likes_only=True)],
        [one.request for one in lists(count, history=50, candidates=100)],
        device=given.device,
        people=given.people,
        rate=rate,
        repeats=given.repeats,
    )
    show(found)
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
