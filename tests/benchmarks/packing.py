"""Packed scoring beside one-by-one and a padded batch, on the same lists in the same run; and what a kept prefix saves.

    python -m tests.benchmarks.packing --weights FOLDER [--dtype bf16] [--threads 2] [--lists 5]

Prints ratios, since milliseconds on a shared machine say little; `--milliseconds` prints those too. All ways give the
scores of the same lists, and the greatest difference between them is printed as well. The padded batch is the model's
own, through transformers with its sdpa attention: one row a candidate, each with the whole prefix.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from inference.engine import Engine
from inference.prompt import PromptWriter
from inference.settings import ModelSettings
from inference.tokens import FileTokens
from inference.weights import load_model
from schemas.scoring import Candidate, Past, ScoreRequest

TITLES = [
    "Heat (1995)",
    "Alien (1979)",
    "Blade Runner (1982)",
    "The Terminator (1984)",
    "Aliens (1986)",
    "Star Wars (1977)",
    "Toy Story (1995)",
    "Fargo (1996)",
    "Braveheart (1995)",
    "The Rock (1996)",
    "Twelve Monkeys (1995)",
    "Jaws (1975)",
    "Predator (1987)",
    "Titanic (1997)",
    "The Lion King (1994)",
    "Pretty Woman (1990)",
    "Sense and Sensibility (1995)",
    "Total Recall (1990)",
    "Mary Poppins (1964)",
    "The Abyss (1989)",
    "Dumbo (1941)",
    "The Godfather (1972)",
    "Casablanca (1942)",
    "Vertigo (1958)",
    "The Graduate (1967)",
    "Raging Bull (1980)",
    "The Full Monty (1997)",
    "Scream (1996)",
    "Contact (1997)",
    "Evita (1996)",
    "Amadeus (1984)",
    "Gandhi (1982)",
]


def lists(count: int, history: int, candidates: int) -> list[ScoreRequest]:
    """Requests of different people, from the same titles turned round."""
    made = []
    for number in range(count):
        turned = TITLES[number % len(TITLES) :] + TITLES[: number % len(TITLES)]
        past = tuple(Past(text, "like") for text in turned[:history])
        offered = tuple(map(Candidate, turned[::-1][:candidates]))
        made.append(ScoreRequest(session=number, scene="default", history=past, candidates=offered))
    return made


def single(request: ScoreRequest, candidate: Candidate) -> ScoreRequest:
    return ScoreRequest(session=request.session, scene="default", history=request.history, candidates=(candidate,))


def padded(model: torch.nn.Module, writer: PromptWriter, request: ScoreRequest) -> list[float]:
    """Each candidate's mean token log-likelihood after the history, in one batch of padded rows."""
    prompt = writer.write(request)
    width = len(prompt.prefix) + max(map(len, prompt.candidates)) - 1
    ids = torch.zeros(len(prompt.candidates), width, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, candidate in enumerate(prompt.candidates):
        tokens = torch.tensor((*prompt.prefix, *candidate[:-1]))
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    with torch.inference_mode():
        hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        scores = []
        for row, candidate in enumerate(prompt.candidates):
            start = len(prompt.prefix) - 1
            logits = model.get_output_embeddings()(hidden[row, start : start + len(candidate)]).float()
            chosen = logits[torch.arange(len(candidate)), torch.tensor(candidate)]
            scores.append(float((chosen - logits.logsumexp(-1)).mean()))
    return scores


def timed(work: Callable[[], object], repeats: int = 5) -> float:
    """The median milliseconds of a call."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def measure(weights: Path, settings: ModelSettings, count: int, history: int, candidates: int) -> dict[str, float]:
    """Median milliseconds a list of each way, the tokens of a list, and how far the ways' scores lie apart."""
    engine = Engine.load(weights, settings)
    writer = PromptWriter(FileTokens(weights), settings)
    plain = load_model(weights, settings, "sdpa")
    asked = lists(count, history, candidates)
    shorter = [
        ScoreRequest(session=r.session, scene=r.scene, history=r.history[:-1], candidates=r.candidates) for r in asked
    ]
    engine.warm_up()
    times: dict[str, list[float]] = {name: [] for name in ("packed", "kept", "one by one", "padded")}
    apart = 0.0
    for request, before in zip(asked, shorter, strict=True):

        def cold(request: ScoreRequest = request) -> list[float]:
            engine.clear()
            (scores,) = engine.score([request])
            assert isinstance(scores, tuple)
            return list(scores)

        def alone(request: ScoreRequest = request) -> list[float]:
            found = []
            for candidate in request.candidates:
                engine.clear()
                (scores,) = engine.score([single(request, candidate)])
                assert isinstance(scores, tuple)
                found += scores
            return found

        times["packed"].append(timed(cold))
        times["one by one"].append(timed(alone, 1))
        times["padded"].append(timed(lambda request=request: padded(plain, writer, request), 2))
        apart = max(apart, *(abs(a - b) for a, b in zip(cold(), alone(), strict=True)))
        kept = []
        for _ in range(5):
            engine.clear()
            engine.score([before])
            kept.append(timed(lambda request=request: engine.score([request]), 1))
        times["kept"].append(statistics.median(kept))
    prompts = [writer.write(request) for request in asked]
    return {
        **{name: statistics.median(values) for name, values in times.items()},
        "apart": apart,
        "prefix tokens": statistics.mean(len(prompt.prefix) for prompt in prompts),
        "candidate tokens": statistics.mean(sum(map(len, prompt.candidates)) for prompt in prompts),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lists", type=int, default=5)
    parser.add_argument("--history", type=int, default=15)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--milliseconds", action="store_true")
    given = parser.parse_args()
    settings = ModelSettings.make(dtype=given.dtype, threads=given.threads)
    found = measure(given.weights, settings, given.lists, given.history, given.candidates)
    print(f"tokens a list: prefix {found['prefix tokens']:.0f}, candidates {found['candidate tokens']:.0f}")
    for name in ("one by one", "padded", "kept"):
        print(f"{name} / packed: {found[name] / found['packed']:.2f}")
    print(f"greatest difference of a score, packed and one by one: {found['apart']:.1e}")
    if given.milliseconds:
        print("  ".join(f"{name} {found[name]:.0f} ms" for name in ("packed", "kept", "one by one", "padded")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
