"""What the page shows of the model's versions: the live one, the one on trial, and how the two order the same list.
Pure.

Stages and their reasons are those of `ouzel.models`. The comparison is of this worker's likes alone: the learner
decides by those of all workers, and its figures come with the reason.
"""

from schemas.models import ModelStatus
from schemas.shown import shown_in_line
from streams.items.catalogue import Catalogue
from streams.page.views import MAX_SHOWN_ENTRIES, ItemView, View, item_view
from streams.serving.hit_rate import Pair
from streams.serving.trials import Trials


class VersionView(View, frozen=True, kw_only=True):
    """A record of `ouzel.models`: the version's number, its role from `at` on, and why. `share` is that of a canary."""

    number: int
    role: str
    at: int
    reason: str
    share: float


class ComparisonView(View, frozen=True, kw_only=True):
    """Hit ratios of the champion and the challenger over the same `likes`, and their difference between `low` and
    `high`."""

    likes: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float


class VersionsView(View, frozen=True, kw_only=True):
    """`live` is None until a record names a champion. `trial` is the version at its gates or beside the champion;
    `ended` the last one that was not promoted, while none is tried. `lacking`: items that the challenger has not read
    yet; it is compared at 0."""

    live: VersionView | None
    trial: VersionView | None
    ended: VersionView | None
    lacking: int
    compared: ComparisonView | None


class PairView(View, frozen=True, kw_only=True):
    """The order that the version which did not make `list` would have shown. `canary`: it is the champion's."""

    list: str
    canary: bool
    items: tuple[ItemView, ...]


def versions_view(trials: Trials, lacking: int) -> VersionsView:
    lineup = trials.lineup
    trial = lineup.challenger or trials.trained
    return VersionsView(
        live=_version(lineup.champion),
        trial=_version(trial),
        ended=None if trial is not None else _version(trials.ended),
        lacking=lacking if lineup.challenger is not None else 0,
        compared=None if lineup.challenger is None else _comparison(trials),
    )


def pair_view(name: str, pair: Pair, catalogue: Catalogue) -> PairView:
    """What the page shows of a list that both versions ordered."""
    other = pair.of_champion if pair.canary else pair.of_challenger
    items = tuple(item_view(catalogue, item) for item in other[:MAX_SHOWN_ENTRIES])
    return PairView(list=name, canary=pair.canary, items=items)


def _version(status: ModelStatus | None) -> VersionView | None:
    if status is None:
        return None
    reason = shown_in_line(status.reason)
    return VersionView(number=status.number, role=status.role, at=status.ts, reason=reason, share=status.share)


def _comparison(trials: Trials) -> ComparisonView | None:
    likes = trials.pairs
    if not likes:
        return None
    low, high = trials.bounds
    return ComparisonView(
        likes=likes,
        champion=trials.hits["champion"] / likes,
        challenger=trials.hits["challenger"] / likes,
        difference=trials.difference,
        low=low,
        high=high,
    )
