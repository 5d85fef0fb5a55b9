"""The item-token engine: requests in, scores and vectors out, at one token an item.

Every item's text is read once (`inference.item_tokens.reading`); what an adapter makes of the reading is kept: a token,
which stands for the item in a context and as a candidate, and a vector. A pass goes through the first layers of the
language model over

    instruction, one token an event | candidate 1 | ... | candidate N

in which a candidate sees the context and itself only. The state at the context's last token gives the context's vector,
whose dot product with an item's vector is the item's retrieval logit; the state at a candidate gives a correction to
that logit, and the two together are the candidate's score. The keys and values of a person's context are kept, so that
the next list reads only what is new.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.errors import RequestRefused
from inference.item_tokens import context
from inference.item_tokens.adapter import Adapter, load
from inference.item_tokens.cuda_graphs import BucketedTrunk, Ladder, Person, cuda_recorder
from inference.item_tokens.items import Items, Pause
from inference.item_tokens.reading import Reader
from inference.item_tokens.reading_store import ReadingStore
from inference.item_tokens.readings import Readings
from inference.item_tokens.trunk import adapted, states
from inference.settings import ModelSettings
from inference.shared import Counts
from inference.transformer.attention import IMPLEMENTATION, Pass, PrefixState, check_packable, group, mask
from inference.transformer.number_format import Chosen, choose
from inference.transformer.onednn import prepack
from inference.transformer.packing import Layout, lay
from inference.transformer.prefix_cache import PrefixCache
from inference.transformer.quantization import SAMPLE, named, quantize
from inference.transformer.tokenizer import FileTokens, Tokens
from inference.transformer.weights import load_model, name_of, read_manifest
from inference.wire import Answer, Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, ItemVectors, Past, ScoreRequest

_MASKS = 32
"""Masks kept, by shape: people with histories of one length and lists of one length share one."""


@dataclass(frozen=True, eq=False)
class _Work:
    """One person's part of a pass: where it starts from, and what is new of the prefix (instruction and events).

    `marks` are one number a token of the prefix: equal numbers, equal tokens. `prefix` [new, hidden] and `candidates`
    [N, hidden] are input embeddings, `vectors` [N, width] the candidates' own. `past` int64 [3, events]: what the tower
    reads, rows of items, of feelings and of gaps.
    """

    place: int
    session: int
    marks: tuple[int, ...]
    start: PrefixState | None
    layout: Layout
    prefix: Tensor
    candidates: Tensor
    vectors: Tensor
    past: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Passed:
    """What a pass found, where it was found: people's `places`, how many candidates each has, all scores, vectors."""

    places: Sequence[int]
    counts: Sequence[int]
    scores: Tensor
    vectors: Tensor

    def answers(self) -> Iterator[tuple[int, Answered]]:
        """Waits for the device."""
        runs = torch.split(self.scores.cpu(), list(self.counts))
        for place, run, vector in zip(self.places, runs, self.vectors.cpu(), strict=True):
            yield place, Answered(tuple(run.tolist()), tuple(vector.tolist()))


class ItemTokenEngine:
    """Scores with one adapter on one model. Not thread-safe, except that `score` may be called where `describe` and
    `tend` pause, and `save` from the thread that describes at any time: `inference.shared` does that.

    `version` names the weights, their number format, the adapter and how contexts are made: vectors and scores of equal
    versions belong together, up to rounding. `chosen` says why that number format. `layers` are those that are passed
    through, and `exact` says which parts of them are not quantized though the settings say so. On a GPU passes have a
    few fixed shapes (`inference.item_tokens.cuda_graphs`). `decoder` is taken over: its layers are laid out for
    inference.
    """

    def __init__(
        self,
        decoder: Any,
        tokens: Tokens,
        adapter: Adapter,
        settings: ModelSettings,
        version: str,
        *,
        chosen: Chosen | None = None,
        readings: Path | None = None,
    ) -> None:
        """`readings` is the folder in which readings are kept; None keeps none on disk."""
        check_packable(decoder.config, version)
        self.chosen = chosen or Chosen(settings, "set", {})
        weight = decoder.embed_tokens.weight
        self._dtype, self._device = weight.dtype, weight.device
        self._threads = torch.get_num_threads()
        reader = Reader(decoder, tokens, version, adapter.depths)
        self._readings = Readings(reader, ReadingStore.of(readings, reader, settings.reading_store_bytes))
        self._items = Items(adapter, self._readings, settings.item_cache_bytes, weight.device)
        self.version = named(f"{reader.version}-{context.VERSION}-{adapter.version}", settings.quantization)
        self._trunk = adapted(decoder, adapter.shape.layers, adapter.lora)
        self.layers: nn.ModuleList = self._trunk.layers
        self._heads = adapter.heads.to(self._device)
        self._residuals = adapter.residuals.to(self._device)
        self._tokens = tokens
        self._settings = settings
        self._bucketed: BucketedTrunk | None = None
        self._prefixes = PrefixCache(settings.prefix_cache_bytes)
        self._mask = lru_cache(_MASKS)(self._make_mask)
        with torch.inference_mode():
            ids = context.instruction(tokens)
            embedded = self._trunk.embed_tokens(torch.tensor(ids, device=self._device)).float()
            self._begin = embedded, ids
            """The embeddings of what every context begins with, and their marks: the token ids."""
        self.exact = quantize(self._trunk, settings.quantization, lambda: self._try(SAMPLE))
        self.clear()
        for each in (self._trunk, reader.trunk):
            prepack(each.layers)
        if settings.graphs and weight.is_cuda:
            self.use(BucketedTrunk(self._trunk, Ladder(), cuda_recorder(self._device)))

    @classmethod
    def load(
        cls, weights: Path, adapter: Path, settings: ModelSettings, readings: Path | None = None
    ) -> "ItemTokenEngine":
        """Over a folder that `inference.transformer.weights.convert` made, an adapter's folder, and one in which
        readings are kept. Raises `WeightsError`.

        Sets this process's number of torch threads.
        """
        manifest = read_manifest(weights)
        chosen = choose(settings, weights)
        settings = chosen.settings
        torch.set_num_threads(settings.threads)
        found = load(adapter)
        decoder = load_model(weights, settings, IMPLEMENTATION).base_model
        found.check(decoder, name_of(manifest.source))
        version = manifest.version(settings.dtype)
        return cls(decoder, FileTokens(weights), found, settings, version, chosen=chosen, readings=readings)

    @property
    def behind(self) -> bool:
        """Whether there is something to `tend` or to `save`."""
        return self._items.wanted or self._readings.unsaved

    @property
    def counts(self) -> Counts:
        return self._readings.counts

    def use(self, bucketed: BucketedTrunk) -> None:
        """Make passes with `bucketed` from now on, which reads every context anew: nothing of people is kept."""
        self._bucketed = bucketed
        self._prefixes = PrefixCache(0)

    def forget(self, sessions: Sequence[int] | None) -> None:
        """Drop the kept prefixes of these sessions, or of all (None)."""
        self._prefixes.forget(sessions)

    def clear(self) -> None:
        """Forget what was made of items, and what was read of people."""
        self._items.clear()
        self._prefixes.clear()

    def warm_up(self) -> None:
        """One small request, so that the first real one does not pay for what torch sets up on first use."""
        past = Past("a", "like", feeling=1)
        self._try(ScoreRequest(session=0, scene="default", history=(past,), candidates=(Candidate("b"),)))
        self.clear()
        if self._bucketed is not None:
            self._bucketed.prepare(self._settings.max_events, self._settings.max_candidates)

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[Answer]:
        """Score a batch, people packed into passes of about `max_pass_tokens`; answers in order.

        `skip(i)` is asked just before the pass of request i: whether nobody waits for it any more. A request out of
        bounds gets its own `RequestRefused`; the others are not touched. At most `max_reads` items are read a call, the
        newest of the histories first. Beyond that, an event whose item is not read yet is left out, and a candidate is
        scored as the average item; `tend` reads them. Where all are read, no answer depends on what else is in the
        batch or on what was read before, up to rounding.
        """
        answers: list[Answer] = [None] * len(requests)
        passes: list[_Passed] = []
        batch: list[int] = []
        rows, reads = 0, self._settings.max_reads
        for place, request in enumerate(requests):
            if len(request.candidates) > self._settings.max_candidates:
                answers[place] = RequestRefused(
                    f"{len(request.candidates)} candidates, at most {self._settings.max_candidates} are scored; "
                    "send fewer, or build the model repository with a greater max_candidates"
                )
                continue
            expected = len(self._history(request)) + len(request.candidates)
            if batch and rows + expected > self._settings.max_pass_tokens:
                reads -= self._run(batch, requests, skip, reads, passes)
                batch, rows = [], 0
            batch.append(place)
            rows += expected
        self._run(batch, requests, skip, reads, passes)
        # Only here is a GPU waited for: while it passes over one batch, the next is made ready.
        for passed in passes:
            for place, answered in passed.answers():
                answers[place] = answered
        return answers

    def describe(self, items: Sequence[Candidate], pause: Pause = None) -> ItemVectors:
        """The vectors of at most `MAX_DESCRIBED` items; all that are not read yet are read. Raises `RequestRefused`.

        `pause` is called between layers, and `score` may be called within it. What lists lack is read first.
        """
        if len(items) > MAX_DESCRIBED:
            raise RequestRefused(f"{len(items)} items, at most {MAX_DESCRIBED} are described at once; ask in parts")
        torch.set_num_threads(self._threads)  # torch sets this per thread, and begins with the number of cores
        vectors = self._items.have(items, pause)
        values = vectors.cpu().numpy().astype("<f4").tobytes()
        return ItemVectors(width=vectors.shape[1], values=values, model_version=self.version)

    def tend(self, pause: Pause = None) -> None:
        """Read what lists lacked since the last time. `pause` is as for `describe`."""
        torch.set_num_threads(self._threads)
        self._items.tend(pause)

    def save(self) -> None:
        """Write to disk what was read since the last time."""
        self._readings.save()

    def _history(self, request: ScoreRequest) -> Sequence[Past]:
        return request.history[-self._settings.max_events :]

    def _try(self, request: ScoreRequest) -> None:
        """Score a request of our own, whose items are read for it."""
        self._items.try_out([*request.history, *request.candidates])
        self.score([request])

    def _run(
        self,
        batch: Sequence[int],
        requests: Sequence[ScoreRequest],
        skip: Callable[[int], bool] | None,
        reads: int,
        passes: list[_Passed],
    ) -> int:
        """Pass over a batch, with at most `reads` items read before it. How many were."""
        wanted = [place for place in batch if skip is None or not skip(place)]
        if not wanted:
            return 0
        events = [past for place in wanted for past in reversed(self._history(requests[place]))]
        candidates = [candidate for place in wanted for candidate in requests[place].candidates]
        read = sum(self._items.read([*events, *candidates], reads))
        passes.append(self._pass([self._work(place, requests[place]) for place in wanted]))
        return read

    @torch.inference_mode()
    def _work(self, place: int, request: ScoreRequest) -> _Work:
        history = self._history(request)
        keys = [self._items.key(past) for past in history]
        tokens, _, known = self._items.take(keys)
        feelings, gaps = context.feelings(history), context.gaps(history)
        begin, marks = self._begin
        marks += tuple(
            int.from_bytes(key + bytes((feeling, gap)), "little")
            for key, feeling, gap, read in zip(keys, feelings, gaps, known.tolist(), strict=True)
            if read
        )
        events = self._heads.events(tokens, self._tensor(feelings), self._tensor(gaps))
        events = events if known.all() else events[known]
        start, kept = self._prefixes.longest(request.session, marks[:-1])
        offered, vectors, known = self._items.take([self._items.key(candidate) for candidate in request.candidates])
        return _Work(
            place=place,
            session=request.session,
            marks=marks,
            start=start,
            layout=lay(len(marks), [1] * len(offered), kept, len(marks)),
            prefix=torch.cat((begin, events))[kept:],
            candidates=self._heads.candidates(offered),
            vectors=vectors
            if known.all()
            else torch.where(known[:, None].to(self._device), vectors, self._items.average),
            past=np.stack((np.array([self._items.row(past) for past in history], np.int64), feelings, gaps)),
        )

    @torch.inference_mode()
    def _pass(self, works: Sequence[_Work]) -> _Passed:
        """Passes over the parts of several people, one where shapes are free."""
        hidden = self._packed(works) if self._bucketed is None else self._filled(works, self._bucketed)
        last = torch.stack([own[len(work.prefix) - 1] for work, own in zip(works, hidden, strict=True)])
        vectors = self._beside(self._heads.contexts(last), [work.past for work in works])
        corrections = self._heads.corrections(
            torch.cat([own[len(work.prefix) :] for work, own in zip(works, hidden, strict=True)])
        )
        counts = [len(work.vectors) for work in works]
        owner = torch.repeat_interleave(vectors, self._tensor(np.array(counts)), dim=0, output_size=sum(counts))
        scores = (torch.cat([work.vectors for work in works]) * owner).sum(-1) + corrections
        return _Passed([work.place for work in works], counts, scores, vectors)

    def _beside(self, contexts: Tensor, pasts: Sequence[NDArray[np.int64]]) -> Tensor:
        """Context vectors with what the tower, if there is one, makes of the newest of each past beside them."""
        tower = self._residuals.tower
        if tower is None:
            return contexts
        pasts = [past[:, -tower.length :] for past in pasts]
        lengths = np.array([past.shape[1] for past in pasts])
        filled = np.zeros((3, len(pasts), int(lengths.max())), np.int64)
        for row, past in enumerate(pasts):
            filled[:, row, : past.shape[1]] = past
        rows, feelings, gaps = self._tensor(filled)
        found = tower(rows, feelings, gaps)[torch.arange(len(pasts), device=self._device), self._tensor(lengths)]
        return torch.cat((contexts, found * self._heads.slope), dim=-1)

    def _filled(self, works: Sequence[_Work], bucketed: BucketedTrunk) -> list[Tensor]:
        """The last hidden states of each person's rows, in passes of fixed shapes."""
        people = [Person(work.prefix.to(self._dtype), work.candidates.to(self._dtype)) for work in works]
        found: dict[int, Tensor] = {}
        for places in bucketed.ladder.groups([person.sizes for person in people]):
            if bucketed.ladder.fit([people[place].sizes for place in places]) is None:
                found.update(zip(places, self._packed([works[place] for place in places]), strict=True))
            else:
                found.update(zip(places, bucketed.run([people[place] for place in places]), strict=True))
        return [found[place] for place in range(len(works))]

    def _packed(self, works: Sequence[_Work]) -> Sequence[Tensor]:
        """The last hidden states of each person's rows, in one pass. Keeps the prefixes."""
        layouts = [work.layout for work in works]
        masks = [self._mask(len(work.marks), len(work.vectors), work.layout.kept) for work in works]
        attention = Pass(layouts, masks, [work.start for work in works])
        positions = self._tensor(np.concatenate([layout.positions for layout in layouts]))
        embeddings = torch.cat([part for work in works for part in (work.prefix, work.candidates)]).to(self._dtype)
        hidden = states(self._trunk, embeddings, positions, attention)
        for at, work in enumerate(works):
            state = attention.state(at, work.marks)
            if state is not None:
                self._prefixes.put(work.session, state)
        return torch.split(hidden, [layout.rows for layout in layouts])

    def _make_mask(self, prefix: int, candidates: int, kept: int) -> Tensor:
        return mask(lay(prefix, [1] * candidates, kept), group(self._trunk.config), self._dtype, self._device)

    def _tensor(self, array: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(array).to(self._device, non_blocking=True)
