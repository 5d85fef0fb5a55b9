"""Interprets a sentence with the language model alone: of which names of a catalogue it asks for more, or for less.

**Of what.** After a few examples, the model says what a clause is about. A name counts by how much likelier the clause
makes it than sentences that are about nothing do (pointwise mutual information: Holtzman et al., "Surface Form
Competition", EMNLP 2021), since a common word is likely after anything. Names compete with each other and with the
possibility that none is meant.

**More or less.** A ridge regression on readings (`inference.item_tokens.reading`) and stances
(`inference.steering.stance`) of the sentences in `inference.steering.examples`.

Nothing here knows a catalogue: names come with the request.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import RequestRefused
from inference.item_tokens.reading import Reader
from inference.steering.examples import PAIRS
from inference.steering.stance import Stances
from inference.transformer.attention import PrefixState
from inference.transformer.likelihood import Likelihoods
from inference.transformer.packing import Prompt, pack
from inference.transformer.tokenizer import Tokens, clean
from schemas.scoring import MAX_NAMES

Floats = NDArray[np.float64]
Pause = Callable[[], None] | None

EXAMPLES = (
    'Wish: "no more spicy dishes please". About: Spicy\n'
    'Wish: "I feel like jazz tonight". About: Jazz\n'
    'Wish: "I am tired of stories about politicians". About: Politics\n'
    'Wish: "a book that teaches me to bake". About: Cookery\n'
    'Wish: "'
)
ASK = '". About:'
NEUTRAL = ("something", "anything else", "this one", "I do not know")
"""Clauses that are about nothing."""

NOTHING = 2.0
"""How much likelier than after a neutral clause a name must be, in nats, to be as probable as that none is meant."""

LEAST = 0.1
"""Names of a smaller share are left out."""

RIDGE = 0.5
"""Of the regression, beside the mean square of the standardized readings."""

MAX_CLAUSES = 4
_MAX_TOKENS = 24
_MAX_CHARACTERS = 500
_PASS_TOKENS = 256
_CACHED_NAMES = 4_096
_CLAUSES = re.compile(r"[,;.!?\n]+|\bbut\b", re.IGNORECASE)


class Interpreter:
    """Interprets with a `decoder` that was loaded with `inference.transformer.attention.IMPLEMENTATION`, all of its
    layers, and the `head` that turns its states into logits. Not thread-safe. Learns at its first call."""

    def __init__(self, decoder: Any, head: Callable[[Any], Any], tokens: Tokens) -> None:
        self._likelihoods = Likelihoods(decoder, head)
        self._reader = Reader(decoder, tokens, "", (max(1, len(decoder.layers) // 2),))
        self._stances = Stances(decoder, tokens, max(1, len(decoder.layers) * 4 // 5))
        self._tokens = tokens
        self._opening = tokens.control(EXAMPLES)
        self._start: PrefixState | None = None
        self._learned: tuple[Floats, Floats, Floats] | None = None
        self._usual: OrderedDict[str, float] = OrderedDict()
        """The mean log-likelihood of a name after the neutral clauses, least recently used first."""

    def prepare(self, pause: Pause = None) -> None:
        """Learn what tells more from less, which the first call would do otherwise."""
        self._polarity(["more"], pause)

    def interpret(self, sentence: str, names: Sequence[str], pause: Pause = None) -> tuple[float, ...]:
        """How much the sentence asks for more (above 0) or less (below 0) of each name; all 0 if it asks for none.

        The strengths of a clause sum to at most 1, without sign; those of all clauses are added, -1 to 1 each. Names
        should differ. `pause` is called before each layer of a pass. Raises `RequestRefused` for more than `MAX_NAMES`.
        """
        if len(names) > MAX_NAMES:
            raise RequestRefused(f"{len(names)} names, at most {MAX_NAMES} per sentence; send those that fit best")
        found = clauses(sentence)
        strengths = np.zeros(len(names))
        if found and names:
            about = [self._shares(clause, names, pause) for clause in found]
            parts = together(found, [bool(shares.any()) for shares in about])
            for sign, (_, place) in zip(self._polarity([text for text, _ in parts], pause), parts, strict=True):
                strengths += sign * about[place]
        return tuple(strengths.clip(-1.0, 1.0).tolist())

    def _shares(self, clause: str, names: Sequence[str], pause: Pause) -> Floats:
        """The probability of each name to be meant, where a clause is about some name rather than none."""
        missing = [name for name in dict.fromkeys(names) if name not in self._usual]
        if missing:
            usual = np.mean([self._after(neutral, missing, pause) for neutral in NEUTRAL], axis=0)
            self._usual |= dict(zip(missing, usual.tolist(), strict=True))
        for name in names:
            self._usual.move_to_end(name)
        gained = self._after(clause, names, pause) - np.array([self._usual[name] for name in names])
        while len(self._usual) > _CACHED_NAMES:
            self._usual.popitem(last=False)
        return shares(gained)

    def _after(self, clause: str, names: Sequence[str], pause: Pause) -> Floats:
        """The log-likelihood of each name as what the clause is about, float64 [names]."""
        if self._start is None:
            opening = Prompt(self._opening, len(self._opening), ((self._opening[0],),))
            _, passed = self._likelihoods.run([pack(opening, 0)], [None], pause)
            self._start = passed.state(0, self._opening)
        asked = (*self._tokens.data(clause)[:_MAX_TOKENS], *self._tokens.control(ASK))
        end = self._tokens.control("\n")
        candidates = [(*self._tokens.data(f" {clean(name)}")[:_MAX_TOKENS], *end) for name in names]
        found = []
        for run in _runs(candidates):
            prompt = Prompt((*self._opening, *asked), 0, run)
            (sums,), _ = self._likelihoods.run([pack(prompt, len(self._opening))], [self._start], pause)
            found.append(sums)
        return np.concatenate(found)

    def _polarity(self, texts: Sequence[str], pause: Pause) -> list[float]:
        """1 for each text that asks for more, -1 for less."""
        if self._learned is None:
            self._learned = _ridge(self._readings([each for pair in PAIRS for each in pair], pause))
        mean, spread, weights = self._learned
        values = (self._readings(texts, pause) - mean) / spread @ weights
        return [1.0 if value > 0 else -1.0 for value in values.tolist()]

    def _readings(self, texts: Sequence[str], pause: Pause) -> Floats:
        """Readings and stances of texts, float64 [texts, 2 x hidden]."""
        found = np.zeros((len(texts), self._reader.hidden))
        for places, readings in self._reader.passes(texts, pause):
            found[places] = readings[:, 0].numpy()
        return np.concatenate((found, self._stances.read(texts, pause)), axis=1)


def clauses(sentence: str) -> list[str]:
    """The parts of a sentence between punctuation marks and "but", without control characters; at most
    `MAX_CLAUSES`."""
    parts = (clean(part) for part in _CLAUSES.split(sentence[:_MAX_CHARACTERS]))
    return [part for part in parts if part][:MAX_CLAUSES]


def together(found: Sequence[str], about: Sequence[bool]) -> list[tuple[str, int]]:
    """Each clause that is about something, by its place, with the clauses after it that are about nothing, since they
    may say the opposite: "dramas? no thanks". Those before the first belong to it."""
    starts = [place for place, has in enumerate(about) if has]
    ends = [*starts[1:], len(found)]
    begins = [0, *starts[1:]] if starts else []
    return [
        (", ".join(found[begin:end]), place) for begin, end, place in zip(begins, ends, starts, strict=bool(starts))
    ]


def shares(gained: Floats) -> Floats:
    """The shares of names by the nats that a clause adds to each: a softmax beside `NOTHING`. All 0 where it is
    likelier that none is meant; shares below `LEAST` are 0."""
    every = np.exp(np.append(gained, NOTHING) - max(gained.max(), NOTHING))
    every /= every.sum()
    found = every[:-1]
    return np.where(found < LEAST, 0.0, found) if every[-1] < 0.5 else np.zeros(len(found))


def _ridge(readings: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and deviation of the readings of `PAIRS`, and the weights that give 1 for the first of a pair and -1 for the
    second, by ridge regression in its dual form."""
    signs = np.tile([1.0, -1.0], len(PAIRS))
    mean, spread = readings.mean(axis=0), readings.std(axis=0) + 1e-3
    scaled = (readings - mean) / spread
    width = scaled.shape[1]
    dual = np.linalg.solve(scaled @ scaled.T / width + RIDGE * np.eye(len(signs)), signs)
    return mean, spread, scaled.T @ dual / width


def _runs(candidates: Sequence[tuple[int, ...]]) -> list[tuple[tuple[int, ...], ...]]:
    """Candidates in order, split so that a pass has about `_PASS_TOKENS` of their tokens."""
    runs: list[list[tuple[int, ...]]] = [[]]
    for candidate in candidates:
        if runs[-1] and sum(map(len, runs[-1])) + len(candidate) > _PASS_TOKENS:
            runs.append([])
        runs[-1].append(candidate)
    return [tuple(run) for run in runs]
