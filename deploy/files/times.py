"""Detect the time format of a column, and convert it to milliseconds since 1970 in SQL."""

from collections.abc import Callable

from deploy.errors import BadSource

Count = Callable[[str], int]
"""The number of rows that meet an SQL condition."""

UNITS = {"s": ("seconds", 1e3), "ms": ("milliseconds", 1.0), "us": ("microseconds", 1e-3), "ns": ("nanoseconds", 1e-6)}
UNIT_FROM = (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0))
"""The unit of a number since 1970, by its minimum: for the years 1973 to 5138, the units do not overlap."""

ISO = "iso"
DIGITS = {"%Y%m%d": 8, "%Y%m%d%H%M%S": 14, "%Y%m%d%H%M": 12, "%Y": 4}
"""Formats of digits only, and the number of digits."""
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
WRITTEN = (
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %Z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%m %d, %Y",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%dT%H:%M:%S %z",
    *(
        f"{day}{clock}"
        for day in ("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d.%m.%Y", "%Y.%m.%d")
        for clock in _CLOCKS
    ),
)
EITHER = tuple(
    (f"%m{s}%d{s}{y}{clock}", f"%d{s}%m{s}{y}{clock}") for s in "/-" for y in ("%Y", "%y") for clock in _CLOCKS
)
"""Ambiguous pairs of formats: the month first, or the day first."""

EARLIEST_MS = -2_208_988_800_000
"""1900: a guessed format must not give earlier times."""

LATEST_MS = 4_102_444_800_000
"""2100: later times were read in the wrong unit."""

EARLY_MS = 315_532_800_000
"""1980: earlier times were very probably read in the wrong unit."""


def described(form: str) -> str:
    """The format in words."""
    if form in UNITS:
        return f"{UNITS[form][0]} since 1970"
    return "ISO 8601" if form == ISO else form


def milliseconds(text: str, form: str) -> str:
    """SQL for the milliseconds, NULL for text in other formats. Times without a zone are in the session's zone."""
    if form in UNITS:
        return f"try_cast(try_cast({text} AS DOUBLE) * {UNITS[form][1]!r} AS BIGINT)"
    if form == ISO:
        return f"epoch_ms(try_cast({text} AS TIMESTAMPTZ))"
    if form in DIGITS:
        text = f"regexp_replace({text}, '\\.0+$', '')"
    return f"epoch_ms(CAST(try_strptime({text}, {_quoted(form)}) AS TIMESTAMPTZ))"


def guess(text: str, count: Count, whole: Count, where: str) -> str:
    """Guess the format of a column. `count` counts in the first rows, `whole` in all; `where` names the column in
    errors.

    Raises `BadSource` if no format fits, or if day and month are ambiguous.
    """
    total = count(f"{text} IS NOT NULL")
    advice = "Set it with --time-format: s, ms, us, ns, iso, or like '%d.%m.%Y %H:%M'; --time-column selects another."
    if total == 0:
        raise BadSource(f"{where} is empty. {advice}")

    def fits(form: str) -> str:
        # Rules out two-digit years parsed as four-digit ones.
        return f"{milliseconds(text, form)} > {EARLIEST_MS}"

    numbers = f"try_cast({text} AS DOUBLE)"
    if count(f"isfinite({numbers})") * 2 >= total:
        for form, digits in DIGITS.items():
            digital = f"regexp_full_match({text}, '(19[5-9]\\d|20\\d\\d)\\d{{{digits - 4}}}(\\.0+)?')"
            if count(f"{digital} AND {fits(form)}") >= 0.95 * total:
                return form
        return next(unit for unit, least in UNIT_FROM if count(f"abs({numbers}) >= {least}") * 2 > total or unit == "s")
    if count(fits(ISO)) * 2 >= total:
        return ISO
    for form in WRITTEN:
        if count(fits(form)) * 2 >= total:
            return form
    for pair in EITHER:
        month_first, day_first = (count(fits(form)) for form in pair)
        if max(month_first, day_first) * 10 < total * 9:
            continue
        month_first, day_first = (whole(fits(form)) for form in pair)
        if month_first == day_first:
            raise BadSource(
                f"{where} holds dates that could start with the month or the day. "
                f"Set the format: --time-format '{pair[0]}' or --time-format '{pair[1]}'."
            )
        return pair[month_first < day_first]
    raise BadSource(f"{where} holds times in an unknown format. {advice}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
