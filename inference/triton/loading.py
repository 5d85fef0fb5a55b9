"""Load a version at low priority, so that versions that answer meanwhile keep the processors.

Linux has a priority per thread, and threads inherit it. So one thread of low priority loads the model and ends; the
model then runs in the others. Lowering the priority of the process could not be undone without privileges.
"""

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

NICENESS = 15

T = TypeVar("T")


def load_class() -> Any:
    """`TritonPythonModel` of `inference.triton.model`, whose import takes seconds. Inside Triton's stub only."""
    return at_low_priority(lambda: import_module("inference.triton.model").TritonPythonModel)


def at_low_priority(work: Callable[[], T]) -> T:
    """Call `work` in a thread of low priority; return its result, or raise what it raises."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="loading")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
