"""The item-token engine: scores and vectors at one token per item.

Every item's text is read once (`inference.item_tokens.reading`). An adapter turns the reading into a token, which
stands for the item in contexts and as a candidate, and a vector; both are cached. A pass goes through the first layers
of the language model over

    instruction, one token per event | candidate 1 | ... | candidate N

where a candidate attends to the context and itself only. The state at the context's last token gives the context's
vector, whose dot product with an item's vector is the item's retrieval logit. The state at a candidate gives a
correction to that logit; their sum is the candidate's score. The keys and values of a user's context are cached, so the
next list reads only new events.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import linear

from inference.errors import RequestRefused, WeightsError
from inference.item_tokens import context
from inference.item_tokens.adapter import Adapter, load
from inference.item_tokens.cuda_graphs import BucketedTrunk, Ladder, UserInput, cuda_recorder
from inference.item_tokens.items import Items, Pause
from inference.item_tokens.reading import Reader
from inference.item_tokens.reading_store import ReadingStore
from inference.item_tokens.readings import Readings
from inference.item_tokens.trunk import adapted, states
from inference.item_tokens.vectors import FILE, ItemRows, read_vectors
from inference.left_out import score_without
from inference.settings import ModelSettings
from inference.shared import Counts
from inference.steering.interpreter import Interpreter
from inference.transformer.attention import IMPLEMENTATION, Pass, PrefixState, check_packable, group, mask
from inference.transformer.number_format import Chosen, choose
from inference.transformer.onednn import prepack
from inference.transformer.packing import Layout, lay
from inference.transformer.prefix_cache import PrefixCache
from inference.transformer.quantization import SAMPLE, named, quantize
from inference.transformer.tokenizer import FileTokens, Tokens
from inference.transformer.weights import load_model, name_of, read_manifest
from inference.wire import Answer, Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, Interpretation, ItemVectors, Past, ScoreRequest

_MASKS = 32
"""Maximum cached masks. Requests with the same lengths of history and list share one."""


@dataclass(frozen=True, eq=False)
class _Work:
    """One user's part of a pass: the cached state to start from, and the new part of the prefix (instruction, events).

    `marks` has one number per token of the prefix: equal numbers mean equal tokens. `prefix` [new, hidden] and
    `candidates` [N, hidden] are input embeddings, `vectors` [N, width] the candidates' vectors. `past` int64
    [3, events] is the tower's input: rows of items, feelings and gaps.
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
    """The results of a pass, still on its device: users' `places`, their numbers of candidates, all scores, vectors."""

    places: Sequence[int]
    counts: Sequence[int]
    scores: Tensor
    vectors: Tensor

    def answers(self) -> Iterator[tuple[int, Answered]]:
        """Yield the answers. Waits for the device."""
        runs = torch.split(self.scores.cpu(), list(self.counts))
        for place, run, vector in zip(self.places, runs, self.vectors.cpu(), strict=True):
            yield place, Answered(tuple(run.tolist()), tuple(vector.tolist()))


class ItemTokenEngine:
    """Scores with one adapter on one model. Not thread-safe, except that `score` may be called while `describe` or
    `tend` pauses, and `save` at any time from the thread that describes (see `inference.shared`).

    `version` identifies the weights, their number format, the adapter and the context format: vectors and scores of
    equal versions are comparable, up to rounding. `chosen` explains the number format. `layers` are the layers used;
    `exact` names the parts of them that stay unquantized despite the settings. On a GPU, passes have a few fixed shapes
    (`inference.item_tokens.cuda_graphs`). The engine owns `decoder` and changes the layout of its layers for inference.

    `shipped` is the number of items whose tokens and vectors came with the adapter (`inference.item_tokens.vectors`);
    `refused` says why the file that came with it is not used, empty if it is used or there is none.
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
        head: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """`readings` is the folder of the reading store; None stores no readings on disk. `head` turns states into
        logits; None: the embeddings of the tokens do."""
        check_packable(decoder.config, version)
        self.chosen = chosen or Chosen(settings, "set", {})
        weight = decoder.embed_tokens.weight
        self._dtype, self._device = weight.dtype, weight.device
        self._threads = torch.get_num_threads()
        reader = Reader(decoder, tokens, version, adapter.depths)
        self._interpreter = Interpreter(decoder, head or partial(linear, weight=weight), tokens)
        self._readings = Readings(reader, ReadingStore.of(readings, reader, settings.reading_store_bytes))
        self._items = Items(adapter, self._readings, settings.item_cache_bytes, weight.device)
        self.version = named(f"{reader.version}-{context.VERSION}-{adapter.version}", settings.quantization)
        self._trunk = adapted(decoder, adapter.shape.layers, adapter.lora)
        self.layers: nn.ModuleList = self._trunk.layers
        self._heads = adapter.heads.to(self._device)
        self._residuals = adapter.residuals.to(self._device)
        self._tokens = tokens
        self._settings = settings
        self._vectors: Path | None = None
        self.shipped, self.refused = 0, ""
        self._bucketed: BucketedTrunk | None = None
        self._prefixes = PrefixCache(settings.prefix_cache_bytes)
        self._mask = lru_cache(_MASKS)(self._make_mask)
        with torch.inference_mode():
            ids = context.instruction(tokens)
            embedded = self._trunk.embed_tokens(torch.tensor(ids, device=self._device)).float()
            self._begin = embedded, ids
            """The embeddings of the instruction, and their marks: the token ids."""
        self.exact = quantize(self._trunk, settings.quantization, lambda: self._try(SAMPLE))
        self.clear()
        for each in (self._trunk, decoder):
            prepack(each.layers)
        if settings.graphs and weight.is_cuda:
            self.use(BucketedTrunk(self._trunk, Ladder(), cuda_recorder(self._device)))

    @classmethod
    def load(
        cls, weights: Path, adapter: Path, settings: ModelSettings, readings: Path | None = None
    ) -> "ItemTokenEngine":
        """Load from a folder that `inference.transformer.weights.convert` made and an adapter's folder; `readings` is
        the folder of the reading store. Raises `WeightsError`.

        Sets the number of torch threads of this process.
        """
        manifest = read_manifest(weights)
        chosen = choose(settings, weights)
        settings = chosen.settings
        torch.set_num_threads(settings.threads)
        found = load(adapter)
        model = load_model(weights, settings, IMPLEMENTATION)
        found.check(model.base_model, name_of(manifest.source))
        made = cls(
            model.base_model,
            FileTokens(weights),
            found,
            settings,
            manifest.version(settings.dtype),
            chosen=chosen,
            readings=readings,
            head=model.get_output_embeddings(),
        )
        if (adapter / FILE).exists():
            made.fill(adapter / FILE)
        return made

    def fill(self, vectors: Path) -> None:
        """Cache the tokens and vectors in the file `vectors`, now and after `warm_up`. A file of another version is
        refused; then items are read."""
        self._vectors, self.shipped, self.refused = vectors, 0, ""
        shape = self._heads.shape
        try:
            rows = read_vectors(vectors, self.version, shape.hidden, shape.vector)
        except WeightsError as error:
            self._vectors, self.refused = None, str(error)
            return
        self._items.fill(rows)
        self.shipped = len(rows.keys)

    @property
    def behind(self) -> bool:
        """Whether `tend` or `save` has work to do."""
        return self._items.wanted or self._readings.unsaved

    @property
    def slope(self) -> float:
        """What logits were multiplied by when the adapter was calibrated; 1 if it was not."""
        return float(self._heads.slope)

    @property
    def counts(self) -> Counts:
        return self._readings.counts

    def use(self, bucketed: BucketedTrunk) -> None:
        """Run passes with `bucketed` from now on. It reads every context from the start: prefixes are not cached."""
        self._bucketed = bucketed
        self._prefixes = PrefixCache(0)

    def forget(self, sessions: Sequence[int] | None) -> None:
        """Drop the cached prefixes of these sessions, or of all (None)."""
        self._prefixes.forget(sessions)

    def clear(self) -> None:
        """Clear the caches of items and prefixes."""
        self._items.clear()
        self._prefixes.clear()

    def warm_up(self) -> None:
        """Score one small request, so that the first real one does not pay for torch's lazy initialization."""
        past = Past("a", "like", feeling=1)
        self._try(ScoreRequest(session=0, scene="default", history=(past,), candidates=(Candidate("b"),)))
        self.clear()
        if self._vectors is not None:
            self.fill(self._vectors)
        if self._bucketed is not None:
            self._bucketed.prepare(self._settings.max_events, self._settings.max_candidates)

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[Answer]:
        """Score a batch, packed into passes of about `max_pass_tokens`; answers are in request order.

        `skip(i)` is called just before the pass of request i and returns whether its caller has given up. A request out
        of bounds gets a `RequestRefused` as its answer; others are unaffected. Each call reads at most `max_reads` new
        items, the newest of the histories first. Of the rest, events are left out and candidates are scored as the
        average item; `tend` reads them later. If all items are read, answers do not depend on the rest of the batch or
        on earlier calls, up to rounding.
        """
        answers: list[Answer] = [None] * len(requests)
        passes: list[_Passed] = []
        batch: list[int] = []
        rows, reads = 0, self._settings.max_reads
        for place, request in enumerate(requests):
            if len(request.candidates) > self._settings.max_candidates:
                answers[place] = RequestRefused(
                    f"{len(request.candidates)} candidates, at most {self._settings.max_candidates} are allowed; "
                    "send fewer, or build the model repository with a larger max_candidates"
                )
                continue
            expected = len(self._history(request)) + len(request.candidates)
            if batch and rows + expected > self._settings.max_pass_tokens:
                reads -= self._run(batch, requests, skip, reads, passes)
                batch, rows = [], 0
            batch.append(place)
            rows += expected
        self._run(batch, requests, skip, reads, passes)
        # The only synchronization with a GPU: while it runs one batch, the next is prepared.
        for passed in passes:
            for place, answered in passed.answers():
                answers[place] = answered
        return answers

    def describe(self, items: Sequence[Candidate], pause: Pause = None) -> ItemVectors:
        """Return the vectors of at most `MAX_DESCRIBED` items, reading the new ones. Raises `RequestRefused`.

        `pause` is called between layers and may call `score`. Items that lists lack are read first.
        """
        if len(items) > MAX_DESCRIBED:
            raise RequestRefused(f"{len(items)} items, at most {MAX_DESCRIBED} per request; split the request")
        torch.set_num_threads(self._threads)  # per thread in torch; the default is the number of cores
        vectors = self._items.have(items, pause)
        values = vectors.cpu().numpy().astype("<f4").tobytes()
        return ItemVectors(width=vectors.shape[1], values=values, model_version=self.version)

    def interpret(self, sentence: str, names: Sequence[str], pause: Pause = None) -> Interpretation:
        """What a sentence asks for (`inference.steering.interpreter`), by the language model without the adapter.
        `pause` is as for `describe`. Raises `RequestRefused`."""
        torch.set_num_threads(self._threads)
        return Interpretation(strengths=self._interpreter.interpret(sentence, names, pause), model_version=self.version)

    def rows(self, items: Sequence[Candidate]) -> ItemRows:
        """The keys, tokens and vectors of `items`, each item once. Reads the new ones."""
        torch.set_num_threads(self._threads)
        return self._items.rows(items)

    def without(self, request: ScoreRequest, left_out: Sequence[int], pause: Pause = None) -> list[Answered]:
        """Score with the whole history, and without each event at these places (`inference.left_out`). `pause` is
        called between passes. Raises `RequestRefused`."""
        torch.set_num_threads(self._threads)
        return score_without(self.score, request, left_out, pause)

    def tend(self, pause: Pause = None) -> None:
        """Read the items that lists have lacked since the last call. `pause` is as for `describe`."""
        torch.set_num_threads(self._threads)
        self._items.tend(pause)

    def save(self) -> None:
        """Write new readings to disk."""
        self._readings.save()

    def _history(self, request: ScoreRequest) -> Sequence[Past]:
        return request.history[-self._settings.max_events :]

    def _try(self, request: ScoreRequest) -> None:
        """Score an internal request, reading its items first."""
        self._items.read_unstored([*request.history, *request.candidates])
        self.score([request])

    def _run(
        self,
        batch: Sequence[int],
        requests: Sequence[ScoreRequest],
        skip: Callable[[int], bool] | None,
        reads: int,
        passes: list[_Passed],
    ) -> int:
        """Run a batch, reading at most `reads` items before it. Returns the number of items read."""
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
        """Run the parts of several users: in one pass, or several of fixed shapes."""
        hidden = self._packed(works) if self._bucketed is None else self._filled(works, self._bucketed)
        last = torch.stack([own[len(work.prefix) - 1] for work, own in zip(works, hidden, strict=True)])
        vectors = self._with_tower(self._heads.contexts(last), [work.past for work in works])
        corrections = self._heads.corrections(
            torch.cat([own[len(work.prefix) :] for work, own in zip(works, hidden, strict=True)])
        )
        counts = [len(work.vectors) for work in works]
        owner = torch.repeat_interleave(vectors, self._tensor(np.array(counts)), dim=0, output_size=sum(counts))
        scores = (torch.cat([work.vectors for work in works]) * owner).sum(-1) + corrections
        return _Passed([work.place for work in works], counts, scores, vectors)

    def _with_tower(self, contexts: Tensor, pasts: Sequence[NDArray[np.int64]]) -> Tensor:
        """Append the tower's vectors, if there is a tower, to the context vectors."""
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
        """The last hidden states of each user's rows, in passes of fixed shapes."""
        users = [UserInput(work.prefix.to(self._dtype), work.candidates.to(self._dtype)) for work in works]
        found: dict[int, Tensor] = {}
        for places in bucketed.ladder.groups([user.sizes for user in users]):
            if bucketed.ladder.fit([users[place].sizes for place in places]) is None:
                found.update(zip(places, self._packed([works[place] for place in places]), strict=True))
            else:
                found.update(zip(places, bucketed.run([users[place] for place in places]), strict=True))
        return [found[place] for place in range(len(works))]

    def _packed(self, works: Sequence[_Work]) -> Sequence[Tensor]:
        """The last hidden states of each user's rows, in one pass. Caches the prefixes."""
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
