"""Work in the background yields to other processes, also where Linux divides time among sessions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import priority
from deploy.local.priority import session_niceness

LOWER = (
    "import os\n"
    "from deploy.local.priority import lower_priority, session_niceness\n"
    "before = session_niceness()\n"
    "lower_priority({})\n"
    "print(os.getpriority(os.PRIO_PROCESS, 0), before, session_niceness())\n"
)
OURS = os.getpriority(os.PRIO_PROCESS, 0)


def lowered(*steps: int, leads: bool) -> list[str]:
    """Niceness and that of the session, after a child lowered itself by these steps."""
    code = "".join(LOWER.format(step) for step in steps)
    made = subprocess.run(
        [sys.executable, "-c", code], start_new_session=leads, capture_output=True, text=True, check=True
    )
    return made.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("leads", [True, False])
def test_process_gets_the_niceness_and_never_a_higher_priority(leads: bool) -> None:
    assert int(lowered(17, leads=leads)[0]) == max(17, OURS)
    assert int(lowered(18, 3, leads=leads)[0]) == max(18, OURS)


def test_session_follows_the_process_that_leads_it() -> None:
    # A session has no niceness where the kernel does not group by sessions, or did not when the session began. So the
    # child's own session says what to expect, not that of the tests.
    for steps, highest in (((17,), "17"), ((18, 3), "18")):
        _, before, after = lowered(*steps, leads=True)
        assert after == ("None" if before == "None" else highest)
    _, before, after = lowered(17, leads=False)
    assert after == before, "the session of another process is not ours to change"


def in_a_session(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file like the kernel's, with a session of niceness 3, and this process as its leader."""
    group = folder / "autogroup"
    group.write_text(f"/autogroup-{name} nice 3\n", encoding="ascii")
    monkeypatch.setattr(priority, "AUTOGROUP", group)
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    monkeypatch.setattr(os, "setpriority", lambda *_: None)  # the other tests of this process go on
    return group


def test_session_gets_the_niceness_and_never_a_higher_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    group = in_a_session("12", tmp_path, monkeypatch)
    priority.lower_priority(0)
    assert session_niceness() == 3
    priority.lower_priority(5)
    # The kernel's file takes a number and reads as a line that ends with it.
    assert group.read_text(encoding="ascii") == "5"
    priority.lower_priority(0)
    assert session_niceness() == 5
    assert not caplog.records


def test_session_that_refuses_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_a_session("13", tmp_path, monkeypatch)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(Path, "write_text", refuse)
    priority.lower_priority(5)
    assert "may slow others" in caplog.text
    assert "Operation not permitted" in caplog.text
