"""Start a server without the versions that cannot be loaded: tritonserver itself serves none if one of them fails."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from inference.errors import TritonFailed
from inference.triton.repository import read_config, served, with_policy, write_config

_BROKEN = re.compile(r"version (\d+) is at UNAVAILABLE state: ([^\n;]+)")

S = TypeVar("S")


def start_others(start: Callable[[], S], repository: Path, tell: Callable[[str], None]) -> S:
    """Call `start`. If it fails because of some of the versions that the repository serves, no longer serve those, say
    so, and start the others. Raises `TritonFailed` if there are no others, or for another reason."""
    while True:
        try:
            return start()
        except TritonFailed as error:
            numbers = served(repository)
            broken = {int(number): reason for number, reason in _BROKEN.findall(str(error)) if int(number) in numbers}
            others = [number for number in numbers if number not in broken]
            if not broken or not others:
                raise
            write_config(repository, with_policy(read_config(repository), others))
            for number, reason in broken.items():
                tell(f"version {number} cannot be loaded and is no longer served: {reason.strip()}")
