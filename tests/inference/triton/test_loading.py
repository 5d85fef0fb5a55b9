"""Work at low priority leaves the priority of the other threads as it is."""

import os
import threading

import pytest

from inference.errors import WeightsError
from inference.triton.loading import NICENESS, at_low_priority


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_work_and_the_threads_that_it_starts_have_low_priority_and_the_caller_does_not() -> None:
    before = niceness()
    started: list[int] = []

    def work() -> int:
        thread = threading.Thread(target=lambda: started.append(niceness()))
        thread.start()
        thread.join()
        return niceness()

    assert at_low_priority(work) == NICENESS
    assert started == [NICENESS]
    assert niceness() == before < NICENESS


def test_error_of_the_work_is_raised() -> None:
    def fail() -> None:
        raise WeightsError("the adapter is damaged")

    with pytest.raises(WeightsError, match="damaged"):
        at_low_priority(fail)
