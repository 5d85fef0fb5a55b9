"""Planted bad versions against the gates, on MovieLens-100K and the real model: `python -m tests.benchmarks.planted`.

The champion is the shipped adapter, the tests are likes after its cut. Each row is a version, the first gate that
stopped it, and all others that would have. Then A/A: how often gates stop a version of the same quality.

Needs what `ouzel triton build` makes in `.ouzel/models`, and recbole. Takes some minutes on two idle cores.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from deploy.commands.options import WORK
from deploy.datasets.dataset import feeling, films
from inference.item_tokens.adapter import SHIPPED, load
from inference.item_tokens.engine import ItemTokenEngine
from inference.settings import ModelSettings
from inference.training.histories import Histories
from inference.training.validation import new_likes
from inference.transformer.attention import IMPLEMENTATION
from inference.transformer.weights import load_model, name_of, read_manifest
from inference.triton import server
from inference.triton.repository import build, weights_of
from inference.triton.server import MODEL
from inference.versions.gates.held_out import HeldOut, sampled
from inference.versions.gates.judge import DEFAULT, judge, stopped_by
from inference.versions.gates.latency import Contender, latency
from inference.versions.gates.loading import loads
from inference.versions.gates.measuring import Asked, Reference, compared
from inference.versions.gates.trial import Measured, by_attribute
from inference.versions.store import Gate
from schemas.scoring import MAX_DESCRIBED
from streams.items.catalogue import Catalogue
from tests.support import planted, trials
from tests.support import two_versions as two

TESTS, REPETITIONS, TRITON_REPETITIONS = 150, 200, 3
MODELS = WORK / "models"
WEIGHTS = weights_of(MODELS / "repository")
READINGS = MODELS / "readings"
GOOD = SHIPPED / "default"
SERVED = ModelSettings.make(dtype="bf16", threads=1)
EXACT = ModelSettings.make(dtype="fp32", threads=1)


def main(out: Path | None = None) -> None:
    held = evidence()
    print(f"{len(held.tests):,} held-out likes, {len(held.texts):,} items; load average {load_average()}")
    rows: dict[str, list[Gate]] = {}
    champion = Asked(loaded(GOOD, SERVED), held).measured()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        for name, (where, wrap) in versions(target, held).items():
            begun = time.perf_counter()
            rows[name] = gates_of(where, wrap, champion, held)
            told(name, rows[name], time.perf_counter() - begun)
        begun = time.perf_counter()
        alarms = asyncio.run(in_triton(target / "models", held, rows))
        told("twice as slow", rows["twice as slow"], time.perf_counter() - begun)
        print(f"A/A in Triton: stopped {alarms} of {TRITON_REPETITIONS}")
    for name, made in (("a version against itself", trials.same), ("twins that differ by chance", trials.twins)):
        stops = [stopped_by(judge(made(seed), DEFAULT, np.random.default_rng(seed))) for seed in range(REPETITIONS)]
        names = [stop.name for stop in stops if stop is not None]
        counts = ", ".join(f"{each} {names.count(each)}" for each in sorted(set(names))) or "none"
        print(f"A/A, {name}: stopped {len(names)} of {REPETITIONS} ({counts})")
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2))


@cache
def evidence() -> HeldOut:
    data = films()
    stream = data.stream(0)
    catalogue = Catalogue()
    for item in data.items:
        catalogue.add(item)
    texts = [catalogue.described(number) for number in range(len(data.items))]
    histories = Histories.of(stream, [item.id for item in data.items], feeling)
    cut = load(GOOD).cut
    assert cut is not None
    learned = int(np.searchsorted(histories.ts, cut.ts))
    tests = sampled(new_likes(histories, learned, len(histories)), TESTS)
    genres = by_attribute("genre", [data.items[at].attributes for at in histories.item[tests].tolist()])
    return HeldOut(histories, texts, tests, learned, groups=genres)


Wrap = Callable[[ItemTokenEngine], object]


def versions(target: Path, held: HeldOut) -> dict[str, tuple[Path, Wrap]]:
    def plain(engine: ItemTokenEngine) -> ItemTokenEngine:
        return engine

    def shuffled(engine: ItemTokenEngine) -> planted.Shuffled:
        return planted.Shuffled(engine, held.texts)

    return {
        "the champion again": (GOOD, plain),
        "NaN": (planted.not_finite(GOOD, target / "nan"), plain),
        "shuffled item tokens": (GOOD, shuffled),
        "popular items only": (planted.changed_heads(GOOD, target / "head", planted.collapsed(1.0)), plain),
        "unpopular items only": (planted.changed_heads(GOOD, target / "tail", planted.collapsed(-1.0)), plain),
        "overconfident": (planted.changed_heads(GOOD, target / "sure", planted.overconfident), plain),
    }


def loaded(folder: Path, settings: ModelSettings) -> ItemTokenEngine:
    """A version as it is served; what it has read is stored for the next."""
    engine = ItemTokenEngine.load(WEIGHTS, folder, settings, READINGS)
    texts = evidence().texts
    for begin in range(0, len(texts), MAX_DESCRIBED):
        engine.describe(texts[begin : begin + MAX_DESCRIBED])
    engine.save()
    return engine


def gates_of(folder: Path, wrap: Wrap, champion: Measured, held: HeldOut) -> list[Gate]:
    decoder = load_model(WEIGHTS, SERVED, IMPLEMENTATION).base_model
    gate = loads(folder, decoder, name_of(read_manifest(WEIGHTS).source), held.histories.items)
    if not gate.passed:
        return [gate]

    trial = compared(
        champion,
        lambda: wrap(loaded(folder, SERVED)),  # type: ignore[arg-type,return-value]
        held,
        Reference.of(held, lambda likes: Asked(loaded(folder, EXACT), held).before(likes)),
    )
    return [gate, *judge(trial, DEFAULT, np.random.default_rng(0))]


async def in_triton(repository: Path, held: HeldOut, rows: dict[str, list[Gate]]) -> int:
    """Measure a version that does all work twice, and the champion against itself. Returns how often that failed."""
    weights = weights_of(repository)
    weights.parent.mkdir(parents=True)
    weights.symlink_to(WEIGHTS.resolve())
    build(repository, replace(SERVED, readings=str(READINGS.resolve()), max_reads=1_000))
    two.add_slow(repository)
    rng = np.random.default_rng(0)
    requests = [
        held.request(test, int(held.histories.history[test]), rng.permutation(len(held.texts))[:100].tolist())
        for test in held.tests[:100].tolist()
    ]
    alarms = 0
    with server.running(repository, log=repository.with_name("triton.log")) as running:
        for repetition in range(TRITON_REPETITIONS + 1):
            async with two.Numbered(running.grpc, MODEL if repetition else two.SLOW) as scorer:
                found = await latency(
                    scorer,  # type: ignore[arg-type]
                    Contender(1),
                    Contender(2),
                    requests,
                    DEFAULT,
                    rng,
                    clock=time.perf_counter,
                )
            if repetition:
                alarms += not all(gate.passed for gate in found)
            else:
                rows["twice as slow"] = found
    return alarms


def told(name: str, gates: Sequence[Gate], seconds: float) -> None:
    stop = stopped_by(gates)
    print(f"\n{name}: {'passed' if stop is None else f'stopped by {stop.name}'} ({seconds:.0f} s)")
    for gate in gates:
        interval = "" if gate.low is None or gate.high is None else f" ({gate.low:+.4f} to {gate.high:+.4f})"
        result = "passed" if gate.passed else "FAILED"
        print(f"  {result} {gate.name}: {gate.figure:+.4f}{interval}, threshold {gate.threshold:+.4f}. {gate.text}")


def load_average() -> str:
    return Path("/proc/loadavg").read_text().split()[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
