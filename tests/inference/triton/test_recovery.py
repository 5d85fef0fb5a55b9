"""A version that cannot be loaded at a start keeps no other from serving."""

from pathlib import Path

import pytest

from inference.errors import TritonFailed
from inference.settings import ModelSettings
from inference.triton.recovery import start_others
from inference.triton.repository import config_pbtxt, served, with_policy
from inference.triton.server import MODEL

SAID = (
    "tritonserver ended with status 1. error: creating server: Invalid argument - load failed for model 'scorer': "
    "version 7 is at UNAVAILABLE state: Internal: WeightsError: the adapter is damaged. The last lines of log:\n"
    "E model_lifecycle.cc:642] version 7 is at UNAVAILABLE state: Internal: WeightsError: the adapter is damaged"
)
"""What `server.start` raised when tritonserver 2.51 could not load version 7."""


def repository(folder: Path, *numbers: int) -> Path:
    (folder / MODEL).mkdir()
    (folder / MODEL / "config.pbtxt").write_text(with_policy(config_pbtxt(ModelSettings()), numbers))
    return folder


class Starts:
    """Fails with `said` as long as `broken` is served."""

    def __init__(self, target: Path, broken: int, said: str = SAID) -> None:
        self.target, self.broken, self.said = target, broken, said
        self.served: list[tuple[int, ...]] = []

    def __call__(self) -> str:
        self.served.append(served(self.target))
        if self.broken in self.served[-1]:
            raise TritonFailed(self.said)
        return "running"


def test_version_that_cannot_be_loaded_is_dropped_and_the_others_start(tmp_path: Path) -> None:
    start, told = Starts(repository(tmp_path, 3, 7), 7), list[str]()
    assert start_others(start, tmp_path, told.append) == "running"
    assert start.served == [(3, 7), (3,)]
    assert len(told) == 1
    assert told[0].startswith("version 7 cannot be loaded and is no longer served: Internal: WeightsError")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((7,), SAID), ((3, 7), "the port is in use"), ((3, 7), SAID.replace("version 7", "version 8"))],
)
def test_failure_that_no_other_version_helps_is_raised(tmp_path: Path, numbers: tuple[int, ...], said: str) -> None:
    start = Starts(repository(tmp_path, *numbers), 7, said)
    with pytest.raises(TritonFailed):
        start_others(start, tmp_path, print)
    assert served(tmp_path) == numbers
