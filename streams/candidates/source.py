"""The interface of a candidate source: it proposes items, measures their signals, and gives reasons in words.

To add a source, write an object with these attributes in a module that the worker can import, and name it in
`OUZEL_SOURCES` (`examples/custom_source.py` is one). The built-in ones are in this folder, one per file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streams.candidates.moment import Ints, Moment

Measured = NDArray[np.floating]


@dataclass(frozen=True)
class Signal:
    """A number that compares candidates, and its initial weight.

    `name`: up to 24 of a-z, 0-9 and _, unique among all signals. `prior`: the weight before anything is learned, -4 to
    4, in units of blended score per standard deviation. `measure(moment, numbers)`: one number for each item number,
    [len(numbers)]; it is standardized within the candidates of a list. A `fixed` signal is not, and its weight stays at
    the prior: it is not learned.
    """

    name: str
    prior: float
    measure: Callable[[Moment, Ints], Measured]
    fixed: bool = False


@dataclass(frozen=True)
class Words:
    """Evidence in words, of which at most 400 characters are published, and the numbers of the items it rests on."""

    text: str
    because: tuple[int, ...] = ()


class Source(Protocol):
    """A candidate source. It runs on the event loop, once per list: no I/O, and a millisecond at most."""

    @property
    def name(self) -> str:
        """Its name in lists: 1 to 24 of a-z, 0-9 and _, unique."""

    @property
    def size(self) -> int:
        """The maximum number of items that it proposes, 0 to 1,000. With 0 it only adds signals."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Its signals in the blend. Their contributions to a score are summed under the source's name."""

    @property
    def reads_model(self) -> bool:
        """Whether it reads `Moment.affinities`: then it is called a second time, once the model has answered, and its
        signals count as the model's."""

    def propose(self, moment: Moment) -> Ints:
        """At most `size` distinct item numbers, in no order. Items that may not be shown are left out afterwards."""

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        """Why item `number` is on the list, from this source's evidence; None if that cannot be put into words.

        `proposed`: whether this source proposed it. `shares`: the contribution of each of its signals to the score, by
        name. It is never called for an item that the user has met: the counted events may be the user's own.
        """
