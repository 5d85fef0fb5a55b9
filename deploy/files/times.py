"""What the times of a column are, and the SQL that makes milliseconds since 1970 of them."""

from collections.abc import Callable

from deploy.errors import BadSource

Count = Callable[[str], int]
"""How many rows fulfil a condition in SQL."""

UNITS = {"s": ("seconds", 1e3), "ms": ("milliseconds", 1.0), "us": ("microseconds", 1e-3), "ns": ("nanoseconds", 1e-6)}
UNIT_FROM = (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 0.0))
"""A count since 1970 of at least this is in this unit: the years 1973 to 5138 of each are apart."""

ISO = "iso"
DIGITS = {"%Y%m%d": 8, "%Y%m%d%H%M%S": 14, "%Y%m%d%H%M": 12, "%Y": 4}
"""Formats of digits alone, and how many."""
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
"""Pairs that most dates fit both of: the month first, or the day."""

EARLIEST_MS = -2_208_988_800_000
"""1900: no format is guessed by which times come out earlier."""

LATEST_MS = 4_102_444_800_000
"""2100: what comes out later was read in the wrong unit."""

EARLY_MS = 315_532_800_000
"""1980: what comes out earlier very probably was."""


def described(form: str) -> str:
    """The format in words."""
    if form in UNITS:
        return f"{UNITS[form][0]} since 1970"
    return "ISO 8601" if form == ISO else form


def milliseconds(text: str, form: str) -> str:
    """SQL for the milliseconds, NULL for what is not of the format. Times without a zone are in that of the session."""
    if form in UNITS:
        return f"try_cast(try_cast({text} AS DOUBLE) * {UNITS[form][1]!r} AS BIGINT)"
    if form == ISO:
        return f"epoch_ms(try_cast({text} AS TIMESTAMPTZ))"
    if form in DIGITS:
        text = f"regexp_replace({text}, '\\.0+$', '')"
    return f"epoch_ms(CAST(try_strptime({text}, {_quoted(form)}) AS TIMESTAMPTZ))"


def guess(text: str, count: Count, whole: Count, where: str) -> str:
    """The format of a column. `count` counts in the first rows, `whole` in all; `where` names the column in an error.

    Raises `BadSource` where there is none, or where the day could be the month.
    """
    total = count(f"{text} IS NOT NULL")
    advice = "Give it with --time-format: s, ms, us, ns, iso, or like '%d.%m.%Y %H:%M'; --time-column takes another."
    if total == 0:
        raise BadSource(f"{where} is empty. {advice}")

    def fits(form: str) -> str:
        # A year of two digits is no year of four.
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
                f"{where} holds dates that may begin with the month or with the day. "
                f"Say which: --time-format '{pair[0]}' or --time-format '{pair[1]}'."
            )
        return pair[month_first < day_first]
    raise BadSource(f"{where} holds times in no format that is known. {advice}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
