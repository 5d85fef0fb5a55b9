"""Recognise timestamps in units other than milliseconds, by the years that they would fall into. Pure."""

from schemas.limits import OLDEST_EVENT_MS

_LATEST_MS = 7_258_118_400_000
"""The year 2200: the latest plausible time."""

_UNITS = (("seconds", 1_000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))
_TICKS_IN_1970 = 621_355_968_000_000_000


def unit_of(ts: float) -> str:
    """The unit in which `ts` falls between 1980 and 2200, if not milliseconds; else empty."""
    if OLDEST_EVENT_MS <= ts <= _LATEST_MS or not 0 < ts < 2**63:
        return ""
    if OLDEST_EVENT_MS <= (ts - _TICKS_IN_1970) / 10_000 <= _LATEST_MS:
        return ".NET ticks"  # read as nanoseconds they would fall around 1990
    return next((unit for unit, ms in _UNITS if OLDEST_EVENT_MS <= ts * ms <= _LATEST_MS), "")
