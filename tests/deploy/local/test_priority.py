"""Work in the background yields to other processes, also where Linux divides time among sessions."""

import os
import subprocess
import sys

import pytest

from deploy.local.priority import session_niceness

LOWER = (
    "import os\n"
    "from deploy.local.priority import lower_priority, session_niceness\n"
    "lower_priority({})\n"
    "print(os.getpriority(os.PRIO_PROCESS, 0), session_niceness())\n"
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


@pytest.mark.skipif(session_niceness() is None, reason="this kernel does not group processes by session")
def test_session_follows_the_process_that_leads_it() -> None:
    before = session_niceness()
    assert lowered(17, leads=True)[1] == "17"
    assert lowered(18, 3, leads=True)[1] == "18"
    assert lowered(17, leads=False)[1] == str(before), "the session of another process is not ours to change"
