"""The candidate sources of a worker: the built-in and the custom ones, with the numbering that their order defines.

Bit k of a candidate's sources is the k-th source, and the columns of the signal matrix are the signals of the sources
one after the other. Both exist in memory only: stored and published data has names.

Built-in sources are trusted. A custom one may fail, and the user still gets the list: its proposals are checked, and
once it has failed it is left out of the rest of that list, with the failure in `Moment.failures`.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from schemas.limits import MAX_SIGNALS, MAX_SOURCES
from streams.candidates.alike import Alike
from streams.candidates.covisited import Covisited
from streams.candidates.explored import Explored
from streams.candidates.fresh import Fresh
from streams.candidates.moment import Ints, Moment
from streams.candidates.nearest import MODEL, MODEL_SOURCE, Nearest
from streams.candidates.new import New
from streams.candidates.source import Signal, Source, Words
from streams.candidates.trending import Trending
from streams.candidates.wished import Wished

NAME = re.compile(r"[a-z0-9_]{1,24}")
ATTRIBUTES = ("name", "size", "signals", "reads_model", "propose", "reason")
MAX_SIZE = 1_000
"""Items that one source may propose."""

MAX_WEIGHT = 4.0
"""The greatest absolute weight of the blend, and so of a prior."""

BUILT_IN: tuple[Source, ...] = (Covisited(), Trending(), Alike(), Fresh(), New(), Nearest(), Wished(), Explored())

MAX_VALUE = 1e30
"""The greatest absolute value of a custom signal; beyond it the source fails."""

T = TypeVar("T")


@dataclass(frozen=True)
class Candidates:
    """Distinct item numbers, ascending, int64 [n], and which sources proposed each, bits, uint32 [n]."""

    numbers: Ints
    sources: NDArray[np.uint32]


@dataclass(frozen=True)
class Columns:
    """The columns of the signal matrix, in order: `names`, `priors`, which are the model's (`of_model`), and which are
    neither standardized nor learned (`fixed`)."""

    names: tuple[str, ...]
    priors: tuple[float, ...]
    of_model: tuple[bool, ...]
    fixed: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Sources:
    """All sources of a worker: the built-in ones, then `custom` ones. Raises `ValueError` for one that cannot be used.

    `built_in` are the eight of this folder, perhaps with other fields; the last is the filler.
    """

    custom: tuple[Source, ...] = ()
    built_in: tuple[Source, ...] = field(default=BUILT_IN, repr=False)

    def __post_init__(self) -> None:
        for source in self.custom:
            _check(source)
        names = [source.name for source in self.all]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two candidate sources have the name {name!r}: give each a name that no other has")
        if len(names) > MAX_SOURCES:
            raise ValueError(f"{len(names)} candidate sources, of which at most {MAX_SOURCES} can be used")
        signals = [signal.name for source in self.all for signal in source.signals]
        for name in signals:
            if signals.count(name) > 1:
                raise ValueError(f"two signals have the name {name!r}: give each a name that no other has")
        if len(signals) > MAX_SIGNALS:
            raise ValueError(f"{len(signals)} signals, of which at most {MAX_SIGNALS} can be used")

    def sized(self, **sizes: int) -> "Sources":
        """The same with other sizes of built-in sources, by name."""
        found = self
        for name, size in sizes.items():
            found = found.changed(name, size=size)
        return found

    def changed(self, name: str, **fields: Any) -> "Sources":
        """The same with other fields of one built-in source."""
        built_in = tuple(
            replace(one, **fields) if one.name == name else one  # type: ignore[type-var]
            for one in self.built_in
        )
        return replace(self, built_in=built_in)

    @cached_property
    def all(self) -> tuple[Source, ...]:
        """Every source, in the order of the bits: the filler last."""
        return (*self.built_in[:-1], *self.custom, self.built_in[-1])

    @cached_property
    def columns(self) -> Columns:
        pairs = [(signal, source.reads_model) for source in self.all for signal in source.signals]
        return Columns(
            names=tuple(signal.name for signal, _ in pairs),
            priors=tuple(float(signal.prior) for signal, _ in pairs),
            of_model=tuple(of_model for _, of_model in pairs),
            fixed=tuple(signal.fixed for signal, _ in pairs),
        )

    @cached_property
    def slices(self) -> dict[str, slice]:
        """The columns of each source that has signals, by its name."""
        found, begin = {}, 0
        for source in self.all:
            if source.signals:
                found[source.name] = slice(begin, begin + len(source.signals))
            begin += len(source.signals)
        return found

    @cached_property
    def bits(self) -> dict[str, int]:
        """The bit of each source, by its name."""
        return {source.name: 1 << at for at, source in enumerate(self.all)}

    @property
    def scored_by_model(self) -> str:
        """The source whose contribution includes the model's scores of single candidates."""
        return MODEL_SOURCE

    def named(self, bits: int) -> tuple[str, ...]:
        """The names of the sources behind a candidate's bits."""
        return tuple(name for name, bit in self.bits.items() if bits & bit)

    def propose(self, moment: Moment, *, least: int) -> Candidates:
        """The candidates of a list. If the other sources propose fewer than `least`, the filler adds some.

        Empty only if nothing in the catalogue may be shown.
        """
        bits = np.zeros(len(moment.allowed), np.uint32)
        *others, filler = self.all
        for bit, source in enumerate(others):
            bits[self._proposed(source, moment)] |= np.uint32(1 << bit)
        if np.count_nonzero(bits) < least:
            rest = replace(moment, allowed=moment.allowed & (bits == 0))
            bits[filler.propose(rest)] |= np.uint32(1 << len(others))
        numbers = np.flatnonzero(bits)
        return Candidates(numbers, bits[numbers])

    def widen(self, found: Candidates, moment: Moment) -> Candidates:
        """The candidates, plus proposals of the sources that read the model, now that it has answered."""
        bits = np.zeros(len(moment.allowed), np.uint32)
        bits[found.numbers] = found.sources
        for bit, source in enumerate(self.all):
            if source.reads_model:
                bits[self._proposed(source, moment)] |= np.uint32(1 << bit)
        numbers = np.flatnonzero(bits)
        return Candidates(numbers, bits[numbers])

    def measure(self, moment: Moment, numbers: Ints) -> NDArray[np.float64]:
        """The raw signals of some items, float64 [len(numbers), len(columns)]; 0 for a source that failed."""
        matrix = np.zeros((len(numbers), len(self.columns)))
        column = 0
        for source in self.all:
            custom = self._is_custom(source)
            for signal in source.signals:
                if not custom:
                    matrix[:, column] = signal.measure(moment, numbers)
                else:
                    values = _guarded(source, moment, partial(_values, signal, moment, numbers))
                    matrix[:, column] = 0.0 if values is None else values
                column += 1
        return matrix

    def reason(
        self, source: Source, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]
    ) -> Words | None:
        """A source's reason for an item that the user has not met; None if it has none, or failed."""
        if not self._is_custom(source):
            return source.reason(moment, number, proposed=proposed, shares=shares)
        return _guarded(source, moment, lambda: _words(source, moment, number, proposed, shares))

    def _proposed(self, source: Source, moment: Moment) -> Ints:
        if not self._is_custom(source):
            return source.propose(moment)
        found = _guarded(source, moment, lambda: _numbers(source, moment))
        return np.zeros(0, np.int64) if found is None else found

    def _is_custom(self, source: Source) -> bool:
        return source.name in self._customs

    @cached_property
    def _customs(self) -> frozenset[str]:
        return frozenset(source.name for source in self.custom)


class _Unusable(Exception):
    """A custom source returned something unusable. The text says why, and quotes nothing that the source returned."""


def _guarded(source: Source, moment: Moment, ask: Callable[[], T | None]) -> T | None:
    """The result of a custom source; None if it failed, now or before in this list."""
    if source.name in moment.failures:
        return None
    try:
        return ask()
    except _Unusable as error:
        moment.failures[source.name] = str(error)
    except Exception as error:
        moment.failures[source.name] = type(error).__name__  # not its text, which may name a user
    return None


def _numbers(source: Source, moment: Moment) -> Ints:
    numbers = np.asarray(source.propose(moment))
    if not numbers.size:
        return np.zeros(0, np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise _Unusable("it did not propose a list of item numbers")
    if len(numbers) > source.size:
        raise _Unusable(f"it proposed {len(numbers)} items, more than its size of {source.size}")
    if numbers.min() < 0 or numbers.max() >= len(moment.allowed):
        raise _Unusable("it proposed an item number that is not in the catalogue")
    found: Ints = numbers.astype(np.int64)
    return found[moment.allowed[found]]


def _values(signal: Signal, moment: Moment, numbers: Ints) -> NDArray[np.float64]:
    values = np.asarray(signal.measure(moment, numbers), np.float64)
    if values.shape != numbers.shape:
        raise _Unusable(f"its signal {signal.name} does not have one number for each item")
    if not (np.abs(values) <= MAX_VALUE).all():  # nor is NaN
        raise _Unusable(f"its signal {signal.name} is NaN, or beyond {MAX_VALUE:g}")
    return values


def _words(source: Source, moment: Moment, number: int, proposed: bool, shares: Mapping[str, float]) -> Words | None:
    words = source.reason(moment, number, proposed=proposed, shares=shares)
    if words is None:
        return None
    if not isinstance(words, Words) or not isinstance(words.text, str) or not words.text:
        raise _Unusable("its reason is not Words with a text")
    if not all(moment.catalogue.holds(one) for one in words.because):
        raise _Unusable("its reason rests on an item that is not in the catalogue")
    return words


def _check(source: Any) -> None:
    """Raise `ValueError` if an object is not a candidate source."""
    if isinstance(source, type):
        raise ValueError(f"{source.__name__} is a class: name an object of it")
    lacks = [name for name in ATTRIBUTES if not hasattr(source, name)]
    if lacks:
        raise ValueError(f"the candidate source {type(source).__name__} lacks {', '.join(lacks)}")
    name, size, signals = source.name, source.size, source.signals
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == MODEL:
        raise ValueError(f"{name!r} cannot name a candidate source: take 1 to 24 of a-z, 0-9 and _, but not {MODEL!r}")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
        raise ValueError(f"the size of the candidate source {name} is {size!r}: it takes 0 to {MAX_SIZE:,}")
    for signal in signals:
        if not isinstance(signal, Signal) or not NAME.fullmatch(signal.name):
            raise ValueError(f"the candidate source {name} has a signal without a name of 1 to 24 of a-z, 0-9 and _")
        if not math.isfinite(signal.prior) or abs(signal.prior) > MAX_WEIGHT:
            raise ValueError(f"the prior of the signal {signal.name} is {signal.prior}: it takes -4 to 4")


BUILT_IN_COLUMNS = Sources().columns
