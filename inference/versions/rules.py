"""The rules of the loop: when to train, how sure a verdict has to be, and how long a challenger may take.

Each field is an option of `ouzel learn`, with its text and bounds.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Likes = Annotated[int, Meta(ge=1, le=10_000_000)]


def _likes(text: str) -> Meta:
    return Meta(ge=1, le=10_000_000, description=text)


def _amount(low: float, high: float, text: str) -> Meta:
    return Meta(ge=low, le=high, description=text)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Validated by `make`; a value out of bounds raises `msgspec.ValidationError`."""

    risk: Annotated[
        float, _amount(0.0001, 0.4, "Chance, in each stage, that a challenger as good as the champion is withdrawn.")
    ] = 0.05
    margin: Annotated[
        float,
        _amount(0.0, 1.0, "Loss of hit ratio that does not matter: a challenger passes once a larger is ruled out."),
    ] = 0.02
    shadow_pairs: Annotated[int, _likes("Likes to compare in shadow before a challenger may pass.")] = 300
    shadow_limit: Annotated[int, _likes("Likes after which an undecided shadow is given up.")] = 20_000
    share: Annotated[float, _amount(0.001, 0.5, "Share of users who get a canary's lists.")] = 0.1
    canary_likes: Annotated[int, _likes("Likes on a canary's lists before it may be promoted.")] = 500
    canary_limit: Annotated[int, _likes("Likes on a canary's lists after which one that looks worse is given up.")] = (
        2_000
    )
    stale_likes: Annotated[
        int, _likes("New likes after which an undecided challenger is given up, and a newer version is made.")
    ] = 20_000
    stage_hours: Annotated[
        float, _amount(0.01, 10_000.0, "Time limit of each stage; then the challenger is given up.")
    ] = 48.0
    full_likes: Annotated[int, _likes("New likes that start the training of a full version.")] = 2_000
    full_minutes: Annotated[float, _amount(0.0, 1e6, "Or minutes since the last one, with at least --least-likes.")] = (
        360.0
    )
    items_likes: Annotated[int, _likes("New likes that start the training of the rows of items alone.")] = 400
    items_minutes: Annotated[float, _amount(0.0, 1e6, "Minimum minutes between versions.")] = 5.0
    least_likes: Annotated[int, _likes("Minimum new likes for any training.")] = 100
    drift_lists: Annotated[
        int, _likes("Lists of the champion that make its reference, and of each block that is compared with it.")
    ] = 5_000
    drift_risk: Annotated[
        float, _amount(0.0001, 0.4, "Chance that hit ratio or calibration are said to drift when nothing changed.")
    ] = 0.05
    drift_margin: Annotated[float, _amount(0.0, 1.0, "Change of hit ratio or calibration that does not matter.")] = 0.02
    drift_psi: Annotated[
        float, _amount(0.01, 100.0, "Population stability index from which history, hours or attributes drift.")
    ] = 0.25
    drift_minutes: Annotated[
        float, _amount(1.0, 1e6, "Minimum minutes after the newest version before drift starts a training.")
    ] = 60.0
    live_seconds: Annotated[
        float, _amount(1.0, 3600.0, "A worker is live if its last acknowledgement is at most this old.")
    ] = 30.0

    def __post_init__(self) -> None:
        for least, most in (("shadow_pairs", "shadow_limit"), ("canary_likes", "canary_limit")):
            if getattr(self, least) > getattr(self, most):
                raise ValueError(f"{least} is {getattr(self, least):,}, above {most}, {getattr(self, most):,}")

    @classmethod
    def make(cls, **chosen: float) -> "Rules":
        """Rules with these values and defaults. Raises `msgspec.ValidationError` for a value out of bounds."""
        return msgspec.convert(chosen, cls)
