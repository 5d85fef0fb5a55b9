"""Why an item is on a list, from evidence only: what the ranking itself counted."""

import numpy as np
from numpy.typing import NDArray

from schemas.recommendations import Reason, Source
from streams.candidates.evidence import Evidence
from streams.graph.item_graph import Reach
from streams.graph.pairs import KERNELS
from streams.items.catalogue import Catalogue

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]

MAX_BECAUSE = 2
MAX_SHARED = 2
FADING = 0.85
"""How much less a like counts than the one after it."""

LATELY = 0.25
"""The decayed likes of a scene from which on an item is liked lately: one of the last four weeks, or several before."""

_LIKED = [at for at, kernel in enumerate(KERNELS) if kernel.liked]
_MET = [at for at, kernel in enumerate(KERNELS) if not kernel.liked]


class Due:
    """Which likes, and which items met, a candidate of one list is due to: its pairs, and how much each row counts."""

    def __init__(self, reach: Reach, known: Evidence) -> None:
        self._reach = reach
        self._likes = reach.strength[:, _LIKED].sum(axis=1), _fading(reach, known.likes)
        self._met = reach.strength[:, _MET].sum(axis=1), _fading(reach, known.met)

    def to(self, number: int) -> list[int]:
        """The likes that add most to the candidate's co-visits, strongest first, at most MAX_BECAUSE."""
        return self._strongest(number, *self._likes)

    def met_with(self, number: int) -> list[int]:
        """The same of items met, in whatever way."""
        return self._strongest(number, *self._met)

    def _strongest(self, number: int, strength: Floats, fading: Floats) -> list[int]:
        pairs = np.flatnonzero(self._reach.other == number)
        if not len(pairs):
            return []
        rows = self._reach.rows
        by_row = np.bincount(self._reach.of[pairs], strength[pairs], minlength=len(rows)) * fading
        order = np.argsort(-by_row)[:MAX_BECAUSE]
        first = by_row[order[0]]
        return [int(rows[at]) for at in order if by_row[at] > 0 and by_row[at] >= 0.6 * first]


def _fading(reach: Reach, past: Ints) -> Floats:
    """How much each row counts by its place in the past, newest first; 0 where it is not in there."""
    fading = np.zeros(len(reach.rows))
    place = {row: at for at, row in enumerate(reach.rows.tolist())}
    for back, number in enumerate(past.tolist()):
        fading[place[number]] = FADING**back
    return fading


def reason(
    number: int,
    sources: tuple[Source, ...],
    *,
    due: Due,
    known: Evidence,
    scene: str,
    catalogue: Catalogue,
    lately: bool,
    mine: bool,
) -> Reason:
    """The strongest true reason for one candidate. `lately`: its decayed likes in the scene reach LATELY; `mine`: the
    user has met it.

    A co-visited item is due to the likes that add most to its co-visit score, or else to what was met; else what it
    shares with a like; else the like that the model reads as closest to it; else that it was liked; else that it is
    among the newest. What is counted of items says nothing of who did it: of an item that the user has met, the user's
    own events are among them, so nothing counted is said of it.
    """
    if mine:
        text = "you liked it before" if number in known.likes else "you met it before"
        return Reason(code=sources[0], text=text, because=_ids([number], catalogue))
    found = None
    if Source.COVISITED in sources:
        found = _met(number, due, catalogue)
    if found is None and Source.ALIKE in sources:
        found = _alike(number, known, catalogue)
    if found is None and Source.NEAREST in sources:
        found = _nearest(number, known, catalogue)
    if found is not None:
        return found
    return next(
        Reason(code=source, text=text[:400])
        for source, text in (
            (Source.TRENDING, f"liked lately in {scene}" if lately else "liked before, here or elsewhere"),
            (Source.FRESH, "among the newest in the catalogue"),
            (Source.COVISITED, "met together with what you met lately"),
            (Source.NEAREST, "suits what you did lately, as the model reads it"),
            (Source.EXPLORED, "shown to learn whether it suits you"),
        )
        if source in sources
    )


def _met(number: int, due: Due, catalogue: Catalogue) -> Reason | None:
    for begin, numbers in (("because you liked", due.to(number)), ("met together with", due.met_with(number))):
        because = [other for other in numbers if catalogue.holds(other)]
        if because:
            text = f"{begin} " + " and ".join(catalogue.at(other).title for other in because)
            return Reason(code=Source.COVISITED, text=text[:400], because=_ids(because, catalogue))
    return None


def _alike(number: int, known: Evidence, catalogue: Catalogue) -> Reason | None:
    """What the candidate shares with a like, or else the like whose text is most like its own."""
    shared, like = _shared(number, known, catalogue)
    if shared:
        text = f"{' and '.join(shared)}, like {catalogue.at(like).title}"
    else:
        held = [one for one in known.likes.tolist() if catalogue.holds(one)]
        vectors = catalogue.likeness.vectors()
        alike = vectors[held] @ vectors[number] if held else np.zeros(1)
        if alike.max() <= 0:
            return None
        like = held[int(alike.argmax())]
        text = f"described like {catalogue.at(like).title}, which you liked"
    return Reason(code=Source.ALIKE, text=text[:400], because=_ids([like], catalogue))


def _nearest(number: int, known: Evidence, catalogue: Catalogue) -> Reason | None:
    like = catalogue.vectors.nearest(number, known.likes)
    if like is None:
        return None
    text = f"close to {catalogue.at(like).title}, which you liked"
    return Reason(code=Source.NEAREST, text=text[:400], because=_ids([like], catalogue))


def _shared(number: int, known: Evidence, catalogue: Catalogue) -> tuple[list[str], int]:
    """The rarest attributes that the candidate shares with the like that shares most, and that like."""
    attributes, _ = catalogue.attributes()
    rarity = catalogue.rarity()
    own = {one for one in attributes[number].tolist() if rarity[one] > 0}  # what all items share says nothing
    best: tuple[float, list[str], int] = (0.0, [], -1)
    for like in known.likes.tolist():
        common = sorted(own & set(attributes[like].tolist()), key=lambda one: -rarity[one]) if like >= 0 else []
        weight = float(rarity[common].sum()) if common else 0.0
        if weight > best[0]:
            best = (weight, [catalogue.attribute(one) for one in common[:MAX_SHARED]], like)
    return best[1], best[2]


def _ids(numbers: list[int], catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(catalogue.index[number] for number in numbers)
