"""Jobs in separate processes end with the call that runs them."""

import os
import threading
from pathlib import Path

import pytest

from deploy.local.pool import in_children
from inference.progress import Progress


def test_interruption_ends_jobs_that_still_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))  # where the children find `endless`
    pids: list[int] = []

    def interrupted(label: str, _done: int, _total: int) -> None:
        pids.append(int(label))
        if len(pids) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_children(endless, [1, 2, 3], processes=2, progress=interrupted)
    assert len(set(pids)) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def endless(_job: int, progress: Progress) -> None:
    progress(str(os.getpid()), 0, 1)
    threading.Event().wait()


def test_failure_of_a_job_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    with pytest.raises(ValueError, match="job 2"):
        in_children(failing, [1, 2], processes=2, progress=lambda *_: None)


def failing(job: int, _progress: Progress) -> None:
    if job == 2:
        raise ValueError(f"job {job}")
