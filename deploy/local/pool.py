"""Run jobs in separate processes, which exit when their parent does, however it ends."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.managers import SyncManager
from queue import Empty
from threading import Thread
from typing import Any, TypeVar

from deploy.local.environment import without_settings
from inference.progress import Progress

Job = TypeVar("Job")
Made = TypeVar("Made")


@without_settings()
def in_children(
    work: Callable[[Job, Progress], Made], jobs: Sequence[Job], *, processes: int, progress: Progress
) -> list[Made]:
    """Run `work` on every job, at most `processes` at once; in this process if that is 1 or there is one job.

    Whatever `work` or `progress` raises ends all children, and is raised. `work`, the jobs and the results must be
    picklable. The settings of workers are removed from the environment during
    the call.
    """
    if processes <= 1 or len(jobs) <= 1:
        return [work(job, progress) for job in jobs]
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read by the children: small products gain nothing from threads
    spawn = get_context("spawn")
    manager = SyncManager(ctx=spawn)
    manager.start(_end_with_parent)
    with manager:
        told, stop = manager.Queue(), manager.Event()
        size = min(processes, len(jobs))
        with ProcessPoolExecutor(size, mp_context=spawn, initializer=_end_with_job, initargs=(stop,)) as pool:
            try:
                running = [pool.submit(_work, work, job, told) for job in jobs]
                while not all(one.done() for one in running) or not told.empty():
                    with suppress(Empty):
                        progress(*told.get(timeout=0.2))
                return [one.result() for one in running]
            except BaseException:
                with suppress(EOFError, OSError):  # its manager has ended, and the children with it
                    stop.set()  # otherwise the pool would wait for the jobs that run
                raise


def _work(work: Callable[[Job, Progress], Made], job: Job, told: Any) -> Made:
    return work(job, lambda label, done, total: told.put((label, done, total)))


def _end_with_job(stop: Any) -> None:
    _end_with_parent()

    def wait() -> None:
        with suppress(EOFError, OSError):  # its manager has ended
            stop.wait()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
