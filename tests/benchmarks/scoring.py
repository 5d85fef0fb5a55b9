"""The cost of a list: item tokens and packed text, compared with naive and padded scoring of the same model and lists.

    python -m tests.benchmarks.scoring [--weights FOLDER] [--adapter NAME] [--dtype auto] [--json FILE] [--check]

One user, 50 likes of context, 100 candidates, all from MovieLens-100K:

    naive           transformers with sdpa attention: one pass per candidate over the whole text
    padded          the same in batches of padded rows, one per candidate
    packed          `inference.full_text.engine`: all candidates in one pass over the text
    item tokens     `inference.item_tokens.engine` in this process, items read in advance
    in Triton       the same in a real tritonserver, through the client, one list at a time
    ..., kept       the same with a cached prefix: all but the last event was read for the user's previous list

All methods use the same base model. Ouzel's methods run in `--dtype`, by default its choice on this processor; naive
and padded scoring in the format that is fastest for naive scoring. The text methods give the same scores up to
rounding; the largest difference is printed. Naive and padded passes are timed on some candidates of a list and
extrapolated, as the table says. Compare ratios: seconds on a shared machine vary. `--check` exits with 1 unless a list
in Triton takes at most a tenth of naive scoring, and 99% of lists take less than 100 ms.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inference.item_tokens.reading import DEPTHS

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TQDM_DISABLE", "1")

import msgspec
import numpy as np
import torch

from deploy.local.progress import telling
from inference.errors import InferenceError
from inference.full_text.engine import Engine
from inference.full_text.prompt import PromptWriter
from inference.item_tokens import adapter as adapters
from inference.item_tokens.adapter import Adapter
from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.heads import Shape
from inference.scorers.triton import TritonScorer
from inference.settings import DType, ModelSettings
from inference.transformer.flops import flops
from inference.transformer.number_format import TORCH, choose
from inference.transformer.packing import common_length
from inference.transformer.tokenizer import FileTokens
from inference.transformer.weights import load_model, name_of, read_manifest
from inference.triton import server
from inference.triton.repository import build, weights_of
from inference.wire import Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, ScoreRequest
from tests.benchmarks.lists import lists
from tests.benchmarks.machine import matrix_rate, once
from tests.benchmarks.text_methods import KEPT_BEFORE, NAIVE, PACKED, PADDED, fastest_naive, naive, padded, text_cost

KEPT = Path(__file__).parents[2] / ".ouzel"
TOKENS, TRITON = "item tokens", "in Triton"


class Way(msgspec.Struct, kw_only=True):
    """One method of scoring: the seconds of each timed list, and the mean tokens and FLOPs of a list."""

    seconds: list[float]
    tokens: float
    flops: float
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def token_cost(engine: ItemTokenEngine, config: Any, request: ScoreRequest) -> tuple[int, int]:
    """Tokens and FLOPs of a list of item tokens, with the engine's current cache."""
    layout = engine._work(0, request).layout
    return layout.rows, flops(config, len(engine.layers), layout)


def adapter_folder(name: str, weights: Path, settings: ModelSettings, layers: int) -> tuple[Path, str]:
    """The adapter named, and what it is. "random" is one that was never trained: as fast as any of its size."""
    if name != "random":
        return adapters.locate(name), name
    decoder = load_model(weights, choose(settings, weights).settings, "sdpa").base_model
    hidden = decoder.config.hidden_size
    shape = Shape(hidden=hidden, reading=hidden * len(DEPTHS), layers=layers)
    made = Adapter.random(decoder, name_of(read_manifest(weights).source), shape)
    folder = KEPT / "benchmarks" / f"random-{layers}"
    return adapters.save(folder, made, "Random numbers, to measure speed with.\n"), f"random, {layers} layers"


def in_process(weights: Path, given: argparse.Namespace, asked: list[ScoreRequest], folder: Path) -> dict[str, Any]:
    """Every way but Triton."""
    settings = ModelSettings.make(
        dtype=given.dtype,
        threads=given.threads,
        max_history=given.history + 1,
        max_events=given.history,
        max_candidates=given.candidates,
        max_reads=10_000,
    )
    settings = choose(settings, weights).settings
    torch.set_num_threads(settings.threads)
    rates = [matrix_rate(TORCH[settings.dtype])]
    tokens = FileTokens(weights)
    writer = PromptWriter(tokens, settings)
    text = Engine.load(weights, settings)
    plain, plain_format = fastest_naive(weights, settings, writer.write(asked[0]))
    items = ItemTokenEngine.load(weights, folder, settings)
    text.warm_up()
    items.warm_up()

    catalogue = [*dict.fromkeys(c for one in asked for c in (*one.candidates, *_past(one)))]
    begin = time.perf_counter()
    for at in range(0, len(catalogue), MAX_DESCRIBED):
        items.describe(catalogue[at : at + MAX_DESCRIBED])
    reading = (time.perf_counter() - begin) / len(catalogue)

    names = (NAIVE, PADDED, PACKED, PACKED + KEPT_BEFORE, TOKENS, TOKENS + KEPT_BEFORE)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, list[tuple[int, int]]] = {name: [] for name in seconds}
    apart = 0.0
    few, some = min(given.naive, given.candidates), min(given.padded, given.candidates)
    for request in asked[: given.lists]:
        prompt = writer.write(request)
        before = msgspec.structs.replace(request, history=request.history[:-1])
        shared = common_length(writer.write(before).prefix, prompt.prefix)
        for name, cost in text_cost(plain.config, prompt, shared).items():
            costs[name].append(cost)
        text.clear()
        taken, (together,) = once(lambda r=request: text.score([r]))
        assert isinstance(together, Answered)
        seconds[PACKED].append(taken)
        text.clear()
        text.score([before])
        taken, (again,) = once(lambda r=request: text.score([r]))
        assert isinstance(again, Answered)
        seconds[PACKED + KEPT_BEFORE].append(taken)
        apart = max(apart, *(abs(a - b) for a, b in zip(again.scores, together.scores, strict=True)))
        for name, way, timed_ones in ((NAIVE, naive, few), (PADDED, padded, some)):
            taken, scores = once(lambda way=way, n=timed_ones, p=prompt: way(plain, p, n))
            seconds[name].append(taken * given.candidates / timed_ones)
            apart = max(apart, *(abs(a - b) for a, b in zip(scores, together.scores, strict=False)))
    for number, request in enumerate(asked * 3, 1_000):
        whole = msgspec.structs.replace(request, session=number)
        later = msgspec.structs.replace(request, session=-number)
        items.score([msgspec.structs.replace(later, history=later.history[:-1])])
        for name, one in ((TOKENS, whole), (TOKENS + KEPT_BEFORE, later)):
            costs[name].append(token_cost(items, plain.config, one))
            seconds[name].append(once(lambda r=one: items.score([r]))[0])
    rates.append(matrix_rate(TORCH[settings.dtype]))
    notes = {
        NAIVE: f"{plain_format.value}; {few} of {given.candidates} candidates timed",
        PADDED: f"{plain_format.value}; {some} of {given.candidates} timed",
    }
    ways = {
        name: Way(
            seconds=taken,
            tokens=statistics.mean(cost[0] for cost in costs[name]),
            flops=statistics.mean(cost[1] for cost in costs[name]),
            note=notes.get(name, ""),
        )
        for name, taken in seconds.items()
    }
    return {
        "ways": ways,
        "rate": max(rates),
        "apart": apart,
        "reading": reading,
        "items": len(catalogue),
        "settings": settings,
        "naive_dtype": plain_format,
    }


async def in_triton(address: str, asked: Sequence[ScoreRequest], rounds: int, together: int) -> dict[str, Any]:
    """Seconds of each of `rounds` consecutive lists by method, and lists per second with `together` in flight."""
    scorer = TritonScorer(address, max_in_flight=together)
    try:
        catalogue = [*dict.fromkeys(c for one in asked for c in (*one.candidates, *_past(one)))]
        for at in range(0, len(catalogue), MAX_DESCRIBED):
            await scorer.describe(catalogue[at : at + MAX_DESCRIBED], timeout=120)
        for request in asked[:5]:
            await scorer.score(request, timeout=60)
        taken: dict[str, list[float]] = {TRITON: [], TRITON + KEPT_BEFORE: []}
        for number in range(rounds):
            # A new session, so that nothing is cached; then one more event of the same user.
            whole = msgspec.structs.replace(asked[number % len(asked)], session=10_000 + number)
            earlier = msgspec.structs.replace(whole, session=20_000 + number, history=whole.history[:-1])
            await scorer.score(earlier, timeout=60)
            for name, request in (
                (TRITON, whole),
                (TRITON + KEPT_BEFORE, msgspec.structs.replace(whole, session=20_000 + number)),
            ):
                begin = time.perf_counter()
                await scorer.score(request, timeout=60)
                taken[name].append(time.perf_counter() - begin)

        turns = iter(range(rounds))

        async def ask() -> None:
            for number in turns:
                one = msgspec.structs.replace(asked[number % len(asked)], session=30_000 + number)
                await scorer.score(one, timeout=60)

        begin = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(together)))
        return {"seconds": taken, "together": rounds / (time.perf_counter() - begin)}
    finally:
        await scorer.close()


def measure(weights: Path, given: argparse.Namespace, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure all methods on the same lists; returns plain data."""
    kept = lists(given.people, history=given.history, candidates=given.candidates, likes_only=True)
    asked = [one.request for one in kept]
    chosen = choose(ModelSettings.make(dtype=given.dtype, threads=given.threads), weights)
    folder, what = adapter_folder(given.adapter, weights, chosen.settings, given.layers)
    say(f"{chosen}; adapter: {what}; {len(asked)} users, {given.lists} for the text methods")
    found = in_process(weights, given, asked, folder)
    ways: dict[str, Way] = found["ways"]
    together = None
    if not given.no_triton:
        served = ModelSettings.make(
            dtype=given.dtype, threads=given.threads, strategy="item_tokens", adapter=str(folder.resolve()),
            max_events=given.history, max_candidates=given.candidates,
        )  # fmt: skip
        repository = build(KEPT / "benchmarks" / "repository", served)
        with server.running(repository, log=KEPT / "benchmarks" / "triton.log") as running:
            timed_there = asyncio.run(in_triton(running.grpc, asked, given.rounds, given.together))
        for ending in ("", KEPT_BEFORE):
            own = ways[TOKENS + ending]
            ways[TRITON + ending] = Way(
                seconds=timed_there["seconds"][TRITON + ending], tokens=own.tokens, flops=own.flops
            )
        together = timed_there["together"]
    base = ways[NAIVE].median
    return {
        "adapter": what,
        "dtype": found["settings"].dtype,
        "naive_dtype": found["naive_dtype"],
        "threads": found["settings"].threads,
        "matrix_flops": found["rate"],
        "greatest_difference_of_text_scores": found["apart"],
        "milliseconds_to_read_an_item": found["reading"] * 1e3,
        "items_read": found["items"],
        "lists_in_flight": given.together,
        "lists_per_second_in_flight": together,
        "ways": {
            name: {
                "lists_per_second": 1 / way.median,
                "times_naive": base / way.median,
                "p50_ms": float(np.percentile(way.seconds, 50)) * 1e3,
                "p99_ms": float(np.percentile(way.seconds, 99)) * 1e3,
                "lists": len(way.seconds),
                "tokens": way.tokens,
                "flops": way.flops,
                "share_of_matrix_rate": way.flops / way.median / found["rate"],
                "note": way.note,
            }
            for name, way in ways.items()
        },
    }


def show(found: dict[str, Any]) -> None:
    head = (
        f"{'':17} {'lists/s':>9} {'x naive':>8} {'p50 ms':>9} {'p99 ms':>9} {'tokens':>8} {'GFLOP':>8} {'of rate':>8}"
    )
    print(head)
    for name, way in found["ways"].items():
        print(
            f"{name:17} {way['lists_per_second']:9.3g} {way['times_naive']:8.3g} {way['p50_ms']:9.1f} "
            f"{way['p99_ms']:9.1f} {way['tokens']:8.0f} {way['flops'] / 1e9:8.3g} {way['share_of_matrix_rate']:7.0%}"
            f"  {way['note'] or str(way['lists']) + ' lists'}"
        )
    rate = found["matrix_flops"] / 1e9
    print(f"matrix rate in this run: {rate:.0f} GFLOP/s ({found['dtype']}, {found['threads']} threads)")
    print(f"largest difference of a score between text methods: {found['greatest_difference_of_text_scores']:.1e}")
    print(f"reading a new item, once: {found['milliseconds_to_read_an_item']:.1f} ms ({found['items_read']} items)")
    if found["lists_per_second_in_flight"] is not None:
        print(f"in Triton, {found['lists_in_flight']} in flight: {found['lists_per_second_in_flight']:.1f} lists/s")


def failures(found: dict[str, Any]) -> list[str]:
    """The requirements that are not met."""
    way = found["ways"].get(TRITON)
    if way is None:
        return ["nothing was measured in Triton"]
    wrong = []
    if way["times_naive"] < 10:
        wrong.append(f"in Triton {way['times_naive']:.1f} times the lists/s of naive scoring, required: 10")
    if way["p99_ms"] >= 100:
        wrong.append(f"in Triton a p99 of {way['p99_ms']:.0f} ms, required: less than 100")
    return wrong


def _past(request: ScoreRequest) -> list[Candidate]:
    return [Candidate(past.text, past.item, past.about) for past in request.history]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=weights_of(KEPT / "models" / "repository"))
    parser.add_argument("--adapter", default=adapters.DEFAULT, help='a name, a folder, or "random"')
    parser.add_argument("--layers", type=int, default=4, help="layers of the random adapter")
    parser.add_argument(
        "--dtype", choices=[each.value for each in DType], default="auto", help="format of Ouzel's methods"
    )
    parser.add_argument("--threads", type=int, default=0, help="0: all available cores")
    parser.add_argument("--history", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--lists", type=int, default=3, help="lists for the text methods")
    parser.add_argument("--naive", type=int, default=4, help="candidates timed one by one")
    parser.add_argument("--padded", type=int, default=10, help="candidates timed as a batch")
    parser.add_argument("--rounds", type=int, default=300, help="lists in Triton")
    parser.add_argument("--together", type=int, default=8, help="lists in flight in Triton")
    parser.add_argument("--no-triton", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    try:
        with telling("measuring"):
            found = measure(given.weights, given)
    except InferenceError as error:
        print(error, file=sys.stderr)
        return 2
    show(found)
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    wrong = failures(found) if given.check else []
    for line in wrong:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
