"""Times of events in other units than milliseconds, recognized by where they would lie. Pure."""

from schemas.limits import OLDEST_EVENT_MS

_LATEST_MS = 7_258_118_400_000
"""The year 2200: beyond it no unit is believed."""

_UNITS = (("seconds", 1_000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
_TICKS_IN_1970 = 621_355_968_000_000_000


def unit_of(ts: float) -> str:
    """The unit in which `ts` is a time from 1980 to 2200, if that is not milliseconds; else empty."""
    if OLDEST_EVENT_MS <= ts <= _LATEST_MS or not 0 < ts < 2**63:
        return ""
    if OLDEST_EVENT_MS <= (ts - _TICKS_IN_1970) / 10_000 <= _LATEST_MS:
        return ".NET ticks"  # as nanoseconds they would lie around 1990
    return next((unit for unit, ms in _UNITS if OLDEST_EVENT_MS <= ts * ms <= _LATEST_MS), "")
