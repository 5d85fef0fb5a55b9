"""The full-text engine: scores requests in few packed passes over a transformers model.

A candidate's score is its likelihood given the user's history: the mean over the tokens of its text of
log p(token | instruction, wishes, history).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.errors import RequestRefused
from inference.full_text.prefetch import prefetch
from inference.full_text.prompt import VERSION, PromptWriter
from inference.left_out import Pause, score_without
from inference.settings import ModelSettings
from inference.shared import Counts
from inference.steering.interpreter import Interpreter
from inference.transformer.attention import IMPLEMENTATION, PrefixState, check_packable
from inference.transformer.likelihood import Likelihoods
from inference.transformer.number_format import Chosen, choose
from inference.transformer.packing import Part, Prompt, pack
from inference.transformer.prefix_cache import PrefixCache
from inference.transformer.quantization import SAMPLE, named, quantize
from inference.transformer.tokenizer import FileTokens, Tokens
from inference.transformer.weights import load_model, read_manifest
from inference.wire import Answer, Answered
from schemas.scoring import Candidate, Interpretation, ItemVectors, Past, ScoreRequest


@dataclass(frozen=True, eq=False)
class _Work:
    """One request's part of a pass: its index and session, its prompt, and the cached state to start from."""

    place: int
    session: int
    prompt: Prompt
    start: PrefixState | None
    part: Part


class Engine:
    """Scores with one model. Not thread-safe: use it from one thread.

    `version` identifies the weights, their number format and the prompt: equal versions give equal scores, up to
    rounding. `chosen` explains the number format. `layers` are the layers of the model; `exact` names the parts of them
    that stay unquantized despite the settings.
    """

    def __init__(
        self, model: Any, tokens: Tokens, settings: ModelSettings, version: str, *, chosen: Chosen | None = None
    ) -> None:
        check_packable(model.config, version)
        self.chosen = chosen or Chosen(settings, "set", {})
        self.version = f"{named(version, settings.quantization)}-{VERSION}"
        self._likelihoods = Likelihoods(model.base_model, model.get_output_embeddings())
        self._settings = settings
        self._writer = PromptWriter(tokens, settings)
        self._interpreter = Interpreter(model.base_model, model.get_output_embeddings(), tokens)
        self._threads = torch.get_num_threads()
        self._cache = PrefixCache(settings.prefix_cache_bytes)
        self.layers: nn.ModuleList = model.base_model.layers
        self.exact = quantize(model.base_model, settings.quantization, lambda: self.score([SAMPLE]))
        self.clear()

    @classmethod
    def load(cls, weights: Path, settings: ModelSettings) -> "Engine":
        """Load from a folder that `inference.transformer.weights.convert` made. Raises `WeightsError`.

        Sets the number of torch threads of this process.
        """
        manifest = read_manifest(weights)
        chosen = choose(settings, weights)
        settings = chosen.settings
        torch.set_num_threads(settings.threads)
        version = manifest.version(settings.dtype)
        return cls(load_model(weights, settings, IMPLEMENTATION), FileTokens(weights), settings, version, chosen=chosen)

    @property
    def cached_bytes(self) -> int:
        """Bytes of cached prefixes."""
        return self._cache.size

    def forget(self, sessions: Sequence[int] | None) -> None:
        """Drop the cached prefixes of these sessions, or of all (None)."""
        self._cache.forget(sessions)

    def clear(self) -> None:
        """Drop all cached prefixes."""
        self._cache.clear()

    def warm_up(self) -> None:
        """Score one small request, so that the first real one does not pay for torch's lazy initialization."""
        self.score(
            [
                ScoreRequest(
                    session=0, scene="default", history=(Past("a", "like", feeling=1),), candidates=(Candidate("b"),)
                )
            ]
        )
        self.clear()

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[Answer]:
        """Score a batch, packed into passes of about `max_pass_tokens`; answers are in request order.

        `skip(i)` is called just before the pass of request i and returns whether its caller has given up. A request out
        of bounds gets a `RequestRefused` as its answer; others are unaffected. Answers do not depend on the rest of the
        batch or on the cache, up to rounding.
        """
        answers: list[Answer] = [None] * len(requests)
        batch: list[tuple[int, Prompt]] = []
        rows = 0
        # Prompts of the next pass are written while the current one runs.
        together = len(requests) > 1
        prompts = (
            prefetch(self._prompt, requests, self._settings.max_batch) if together else map(self._prompt, requests)
        )
        for place, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            if isinstance(prompt, RequestRefused):
                answers[place] = prompt
                continue
            expected = self._rows(request, prompt)
            if batch and rows + expected > self._settings.max_pass_tokens:
                self._run(batch, requests, skip, answers)
                batch, rows = [], 0
            batch.append((place, prompt))
            rows += expected
        self._run(batch, requests, skip, answers)
        return answers

    behind = False
    counts = Counts()
    """This engine reads no items."""

    def describe(self, items: Sequence[Candidate], pause: Callable[[], None] | None = None) -> ItemVectors:
        """Return vectors of width 0: likelihoods of text have no vectors."""
        return ItemVectors(width=0, values=b"", model_version=self.version)

    def interpret(self, sentence: str, names: Sequence[str], pause: Callable[[], None] | None = None) -> Interpretation:
        """What a sentence asks for (`inference.steering.interpreter`). Raises `RequestRefused`."""
        torch.set_num_threads(self._threads)  # per thread in torch; the default is the number of cores
        return Interpretation(strengths=self._interpreter.interpret(sentence, names, pause), model_version=self.version)

    def without(self, request: ScoreRequest, left_out: Sequence[int], pause: Pause = None) -> list[Answered]:
        """Score with the whole history, and without each event at these places (`inference.left_out`). `pause` is
        called between passes. Raises `RequestRefused`."""
        torch.set_num_threads(self._threads)
        return score_without(self.score, request, left_out, pause)

    def tend(self, pause: Callable[[], None] | None = None) -> None:
        """Nothing to do."""

    def save(self) -> None:
        """Nothing to do."""

    def _prompt(self, request: ScoreRequest) -> Prompt | RequestRefused:
        try:
            return self._writer.write(request)
        except RequestRefused as refused:
            return refused

    def _rows(self, request: ScoreRequest, prompt: Prompt) -> int:
        """The number of rows that a request adds to a pass."""
        _, kept = self._start(request, prompt)
        return len(prompt.prefix) - kept + sum(len(c) - 1 for c in prompt.candidates)

    def _start(self, request: ScoreRequest, prompt: Prompt) -> tuple[PrefixState | None, int]:
        return self._cache.longest(request.session, prompt.prefix[: prompt.stable])

    def _run(
        self,
        batch: Sequence[tuple[int, Prompt]],
        requests: Sequence[ScoreRequest],
        skip: Callable[[int], bool] | None,
        answers: list[Answer],
    ) -> None:
        """Answer a batch in one pass."""
        works = []
        for place, prompt in batch:
            if skip is None or not skip(place):
                start, kept = self._start(requests[place], prompt)
                works.append(_Work(place, requests[place].session, prompt, start, pack(prompt, kept)))
        if works:
            for work, likelihoods in zip(works, self._pass(works), strict=True):
                answers[work.place] = Answered(tuple(likelihoods))

    def _pass(self, works: Sequence[_Work]) -> list[list[float]]:
        """One forward pass: each candidate's mean token log-likelihood, by part. Caches the prefixes."""
        sums, packed = self._likelihoods.run([work.part for work in works], [work.start for work in works])
        for index, work in enumerate(works):
            state = packed.state(index, work.prompt.prefix)
            if state is not None:
                self._cache.put(work.session, state)
        return [(found / work.part.lengths).tolist() for work, found in zip(works, sums, strict=True)]
