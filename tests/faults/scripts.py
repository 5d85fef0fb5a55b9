"""The scripts of the scripted model, the file that holds the current one, and what its versions answer."""

FILE = "script"
ANSWER, SLOW, NOT_FINITE, WRONG_LENGTH, FAIL = "answer", "slow", "not_finite", "wrong_length", "fail"

APART = 1_000
"""Version n scores from -n times this downwards; fewer candidates are asked about, so a score tells its version."""


def version_name(number: int) -> str:
    """What version `number` calls itself."""
    return f"scripted-{number}"


def version_of(score: float) -> str:
    """The name of the version that gave a score."""
    return version_name(int(-score // APART))
