"""What a candidate source is: it proposes items, brings the signals that rank them, and puts its evidence into words.

To add a source of your own, write an object with these attributes in a module that the worker can import, and name it
in `OUZEL_SOURCES` (`examples/custom_source.py` is one). The built-in ones are in this folder, one a file.
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
    """A number by which candidates are compared, and the weight that it has before anything is learned.

    `name`: up to 24 of a-z, 0-9 and _, unique among all signals. `prior`: -4 to 4, in units of blended score for each
    standard deviation. `measure(moment, numbers)`: one number for each item number, [len(numbers)]; it is standardized
    within the candidates of a list.
    """

    name: str
    prior: float
    measure: Callable[[Moment, Ints], Measured]


@dataclass(frozen=True)
class Words:
    """Evidence in words, of which at most 400 characters are published, and the numbers of the items it rests on."""

    text: str
    because: tuple[int, ...] = ()


class Source(Protocol):
    """A candidate source. It runs on the event loop, once a list: no I/O, and a millisecond at most."""

    @property
    def name(self) -> str:
        """How lists name it: 1 to 24 of a-z, 0-9 and _, unique."""

    @property
    def size(self) -> int:
        """How many items it proposes at most, 0 to 1,000. With 0 it only brings signals."""

    @property
    def signals(self) -> tuple[Signal, ...]:
        """What it adds to the blend. Their contributions to a score are added up under the source's name."""

    @property
    def reads_model(self) -> bool:
        """Whether it reads `Moment.affinities`: then it is asked a second time, when the model has answered, and its
        signals count as the model's."""

    def propose(self, moment: Moment) -> Ints:
        """At most `size` distinct item numbers, in no order. What may not be shown is left out afterwards."""

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        """Why item `number` is on the list, from this source's evidence; None if that cannot be put into words.

        `proposed`: whether this source proposed it. `shares`: what each of its signals contributes to the score, by
        name. It is never asked about an item that the user has met: what is counted there may be the user's own.
        """
