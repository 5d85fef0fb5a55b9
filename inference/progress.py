"""How long work says how far it is. The caller decides how to show it (`deploy.local.progress` draws bars)."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and of how much (0: unknown). A colon or comma ends the name of the
job."""

Count = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


def silent(_label: str, _done: int, _total: int) -> None:
    """A `Progress` that shows nothing."""


def uncounted(_done: int, _total: int) -> None:
    """A `Count` that shows nothing."""
