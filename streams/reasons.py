"""Why an item is on a list, from evidence only: what the ranking itself counted."""

import numpy as np

from schemas.recommendations import Reason, Source
from streams.catalogue import Catalogue
from streams.graph import Reach
from streams.interests import Evidence
from streams.pairs import KERNELS

MAX_BECAUSE = 2
MAX_SHARED = 2
FADING = 0.85
"""How much less a like counts than the one after it."""
_LIKED = [at for at, kernel in enumerate(KERNELS) if kernel.liked]


class Due:
    """Which likes a candidate is due to, of one list: its pairs, and how much each of its rows counts."""

    def __init__(self, reach: Reach, known: Evidence) -> None:
        self._reach = reach
        self._liked = reach.strength[:, _LIKED].sum(axis=1)
        self._fading = np.zeros(len(reach.rows))
        place = {row: at for at, row in enumerate(reach.rows.tolist())}
        for back, like in enumerate(known.likes.tolist()):
            self._fading[place[like]] = FADING**back

    def to(self, number: int) -> list[int]:
        """The likes that add most to the candidate's co-visits, strongest first, at most MAX_BECAUSE."""
        pairs = np.flatnonzero(self._reach.other == number)
        if not len(pairs):
            return []
        rows = self._reach.rows
        by_row = np.bincount(self._reach.of[pairs], self._liked[pairs], minlength=len(rows)) * self._fading
        order = np.argsort(-by_row)[:MAX_BECAUSE]
        first = by_row[order[0]]
        return [int(rows[at]) for at in order if by_row[at] > 0 and by_row[at] >= 0.6 * first]


def reason(
    number: int, sources: tuple[Source, ...], *, due: Due, known: Evidence, scene: str, catalogue: Catalogue
) -> Reason:
    """The strongest true reason for one candidate.

    A co-visited item is due to the likes that add most to its co-visit score; else what it shares with a like; else
    the like that the model reads as closest to it; else that it is liked by many here now; else that it is new.
    """
    found = None
    if Source.COVISITED in sources:
        found = _met(number, due, catalogue)
    if found is None and Source.ALIKE in sources:
        found = _alike(number, known, catalogue)
    if found is None and Source.NEAREST in sources:
        found = _nearest(number, known, catalogue)
    if found is not None:
        return found
    for source, text in (
        (Source.TRENDING, f"liked by many lately in {scene}"),
        (Source.FRESH, "new in the catalogue"),
        (Source.NEAREST, "suits what you did lately, as the model reads it"),
        (Source.EXPLORED, "shown to learn whether it suits you"),
    ):
        if source in sources:
            return Reason(code=source, text=text[:400])
    return Reason(code=Source.COVISITED, text="met by people who met what you met lately")


def _met(number: int, due: Due, catalogue: Catalogue) -> Reason | None:
    because = [like for like in due.to(number) if catalogue.holds(like)]
    if not because:
        return None
    text = "because you liked " + " and ".join(catalogue.at(like).title for like in because)
    return Reason(code=Source.COVISITED, text=text[:400], because=_ids(because, catalogue))


def _alike(number: int, known: Evidence, catalogue: Catalogue) -> Reason | None:
    shared, like = _shared(number, known, catalogue)
    if not shared:
        return None
    text = f"{' and '.join(shared)}, like {catalogue.at(like).title}"
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
        common = sorted(own & set(attributes[like].tolist()), key=lambda one: -rarity[one])
        weight = float(rarity[common].sum()) if common else 0.0
        if weight > best[0]:
            best = (weight, [catalogue.attribute(one) for one in common[:MAX_SHARED]], like)
    return best[1], best[2]


def _ids(numbers: list[int], catalogue: Catalogue) -> tuple[str, ...]:
    return tuple(catalogue.index[number] for number in numbers)
