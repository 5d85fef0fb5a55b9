"""The engine: requests in, scores out, in few packed passes over a transformers model.

A candidate's score is what the person's history adds to its likelihood: the mean over the tokens of its text of
log p(token | instruction, wishes, history) - log p(token | instruction). The second term takes away how likely the
words are for anybody (domain-conditional pointwise mutual information, Holtzman et al. 2021), which popularity tells
better. It is the same for all people and is kept by text.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inference.attention import IMPLEMENTATION, Pass, PrefixState
from inference.errors import RequestRefused, WeightsError
from inference.packing import Part, Prompt, pack
from inference.prefix_cache import PrefixCache
from inference.prompt import VERSION, PromptWriter
from inference.settings import ModelSettings
from inference.tokens import FileTokens, Tokens
from inference.weights import load_model, read_manifest
from schemas.scoring import Candidate, Past, ScoreRequest

Answer = tuple[float, ...] | RequestRefused | None
"""One score a candidate; or why there is none; or None for what was skipped."""

MAX_PLAIN = 100_000
"""Texts whose likelihood without a history is kept; about 300 bytes each."""

_Text = tuple[str, tuple[int, ...]]
"""A scene and a candidate's tokens."""


@dataclass(frozen=True, eq=False)
class _Work:
    """One part of a pass: what is read, where it starts from, and the key under which its prefix is kept."""

    key: object
    prompt: Prompt
    start: PrefixState | None
    part: Part


class Engine:
    """Scores with one model. Not thread-safe: give it one thread.

    `version` names the weights, their number format and the prompt: equal versions give equal scores, up to rounding.
    """

    def __init__(self, model: Any, tokens: Tokens, settings: ModelSettings, version: str) -> None:
        config = model.config
        sliding = getattr(config, "sliding_window", None)
        if sliding is not None and getattr(config, "use_sliding_window", True):
            raise WeightsError(
                f"{version} attends in a sliding window of {sliding} tokens, which packing does not follow; "
                "use another model"
            )
        self.version = f"{version}-{VERSION}"
        self._model = model
        self._head = model.get_output_embeddings()
        self._dtype = next(model.parameters()).dtype
        self._group = config.num_attention_heads // (config.num_key_value_heads or config.num_attention_heads)
        self._settings = settings
        self._writer = PromptWriter(tokens, settings)
        self._cache = PrefixCache(settings.prefix_cache_bytes)
        self._plain: OrderedDict[_Text, float] = OrderedDict()

    @classmethod
    def load(cls, weights: Path, settings: ModelSettings) -> "Engine":
        """Over a folder that `inference.weights.convert` made. Raises `WeightsError`.

        Sets this process's number of torch threads.
        """
        manifest = read_manifest(weights)
        torch.set_num_threads(settings.threads)
        return cls(load_model(weights, settings, IMPLEMENTATION), FileTokens(weights), settings, manifest.version)

    @property
    def cached_bytes(self) -> int:
        """Bytes of kept prefixes."""
        return self._cache.size

    def clear(self) -> None:
        """Forget everything kept between requests."""
        self.forget_prefixes()
        self._plain.clear()

    def forget_prefixes(self) -> None:
        """Forget what was read of people; likelihoods without a history stay."""
        self._cache.clear()

    def warm_up(self) -> None:
        """One small request, so that the first real one does not pay for what torch sets up on first use."""
        self.score(
            [ScoreRequest(session=0, scene="default", history=(Past("a", "view"),), candidates=(Candidate("b"),))]
        )
        self.clear()

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[Answer]:
        """Score a batch, people packed into passes of about `max_pass_tokens`; answers in order.

        `skip(i)` is asked just before the pass of request i: whether nobody waits for it any more. A request out of
        bounds gets its own `RequestRefused`; the others are not touched. No answer depends on what else is in the batch
        or in the cache, up to rounding.
        """
        answers: list[Answer] = [None] * len(requests)
        batch: list[tuple[int, Prompt]] = []
        rows = 0
        for place, request in enumerate(requests):
            try:
                prompt = self._writer.write(request)
            except RequestRefused as refused:
                answers[place] = refused
                continue
            expected = self._rows(request, prompt)
            if batch and rows + expected > self._settings.max_pass_tokens:
                self._run(batch, requests, skip, answers)
                batch, rows = [], 0
            batch.append((place, prompt))
            rows += expected
        self._run(batch, requests, skip, answers)
        return answers

    def _rows(self, request: ScoreRequest, prompt: Prompt) -> int:
        """The rows that a request adds to a pass, likelihoods without a history not counted."""
        _, kept = self._start(request, prompt)
        return len(prompt.prefix) - kept + sum(len(c) - 1 for c in prompt.candidates)

    def _start(self, request: ScoreRequest, prompt: Prompt) -> tuple[PrefixState | None, int]:
        # Whoever is new starts from the instruction, which all people of a scene share.
        return self._cache.longest([(request.session,), request.scene], prompt.prefix[: prompt.stable])

    def _run(
        self,
        batch: Sequence[tuple[int, Prompt]],
        requests: Sequence[ScoreRequest],
        skip: Callable[[int], bool] | None,
        answers: list[Answer],
    ) -> None:
        """Answer a batch in one pass."""
        taken = [(place, prompt) for place, prompt in batch if skip is None or not skip(place)]
        works = []
        unknown: dict[str, dict[tuple[int, ...], None]] = {}
        for place, prompt in taken:
            request = requests[place]
            start, kept = self._start(request, prompt)
            works.append(_Work((request.session,), prompt, start, pack(prompt, kept)))
            for candidate in prompt.candidates:
                if (request.scene, candidate) not in self._plain:
                    unknown.setdefault(request.scene, {})[candidate] = None
        for scene, candidates in unknown.items():
            prompt = self._writer.without_history(scene, tuple(candidates))
            start, kept = self._cache.longest([scene], prompt.prefix[: prompt.stable])
            works.append(_Work(scene, prompt, start, pack(prompt, kept)))
        if not works:
            return
        likelihoods = self._pass(works)
        for scene, plain in zip(unknown, likelihoods[len(taken) :], strict=True):
            self._plain.update(zip(((scene, candidate) for candidate in unknown[scene]), plain, strict=True))
        for (place, prompt), likelihood in zip(taken, likelihoods, strict=False):
            keys = [(requests[place].scene, candidate) for candidate in prompt.candidates]
            answers[place] = tuple(value - self._plain[key] for value, key in zip(likelihood, keys, strict=True))
            for key in keys:
                self._plain.move_to_end(key)
        while len(self._plain) > MAX_PLAIN:
            self._plain.popitem(last=False)

    @torch.inference_mode()
    def _pass(self, works: Sequence[_Work]) -> list[list[float]]:
        """One forward pass: each candidate's mean token log-likelihood, by part. Keeps the prefixes."""
        parts = [work.part for work in works]
        packed = Pass(parts, [work.start for work in works])
        packed.prepare(self._group, self._dtype)
        # The mask is the pass's own; the zero stands in for it, so that transformers makes none.
        hidden = self._model.base_model(
            input_ids=torch.from_numpy(np.concatenate([part.ids for part in parts])).unsqueeze(0),
            position_ids=torch.from_numpy(np.concatenate([part.positions for part in parts])).unsqueeze(0),
            attention_mask=torch.zeros(1, 1, 1, 1),
            use_cache=False,
            packed=packed,
        ).last_hidden_state[0]
        for index, work in enumerate(works):
            state = packed.state(index, work.prompt.prefix)
            if state is not None:
                self._cache.put(work.key, state)
        return self._likelihoods(hidden, parts)

    def _likelihoods(self, hidden: torch.Tensor, parts: Sequence[Part]) -> list[list[float]]:
        """Mean log-likelihood of each candidate's tokens. The vocabulary is met only at rows that predict one."""
        begins = np.cumsum([0, *(part.rows for part in parts)])
        predictors = np.concatenate([part.predictors + at for part, at in zip(parts, begins, strict=False)])
        targets = torch.from_numpy(np.concatenate([part.targets for part in parts]))
        lengths = np.concatenate([part.lengths for part in parts])
        rows, inverse = np.unique(predictors, return_inverse=True)
        logits = self._head(hidden[torch.from_numpy(rows)]).float()
        at = torch.from_numpy(inverse)
        likelihood = (logits[at, targets] - logits.logsumexp(-1)[at]).numpy()
        owner = np.repeat(np.arange(len(lengths)), lengths)
        means = np.bincount(owner, weights=likelihood, minlength=len(lengths)) / lengths
        return [run.tolist() for run in np.split(means, np.cumsum([len(part.lengths) for part in parts])[:-1])]
