"""The thresholds of all gates."""

from typing import Annotated

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a challenger must reach. Differences are challenger minus champion."""

    least_tests: Annotated[int, Meta(ge=2, le=1_000_000)] = 30
    """Without this many held-out likes, quality is not decided and the version fails."""
    ndcg_margin: Share = 0.01
    """A lower mean NDCG@10 by more than this fails, even if chance could explain it."""
    hit_margin: Share = 0.02
    """The same for HR@10."""
    clip: Annotated[float, Meta(ge=1, le=1e6)] = 100.0
    """Off-policy weights are clipped here, so that one unlikely choice does not decide."""
    effective: Count = 100
    """With fewer effective decisions in the logs, the off-policy gate does not decide."""
    rewarded: Count = 20
    """Nor with fewer decisions whose reward is not 0."""
    support: Share = 0.1
    """Nor if the logged choices cover less than this share of a version's own choices."""
    calibration_error: Share = 0.02
    """Maximum expected calibration error beyond what chance gives a calibrated version."""
    agreement: Annotated[float, Meta(ge=-1, le=1)] = 0.97
    """Minimum mean rank correlation between the trained network and the version as it is served."""
    coverage: Share = 0.5
    """Minimum share of the champion's coverage of the catalogue."""
    long_tail: Share = 0.5
    """Minimum share of the champion's long-tail share."""
    group_margin: Share = 0.02
    """A group may lose this much NDCG@10."""
    group_tests: Annotated[int, Meta(ge=2, le=1_000_000)] = 30
    """Groups with fewer tests are not judged."""
    group_users: Annotated[int, Meta(ge=2, le=1_000_000)] = 10
    """Nor are groups with fewer users."""
    latency_ratio: Annotated[float, Meta(ge=1, le=100)] = 1.5
    """Maximum ratio of the challenger's latency to the champion's, at the 99th percentile and at the median."""
    latency_pairs: Annotated[int, Meta(ge=20, le=100_000)] = 200
    """Without this many pairs of answers, latency is not decided and the version fails."""
