"""The figures and the table of a run."""

import json
from dataclasses import replace

from tests.faults.operator import SIGNS
from tests.faults.report import page, summary
from tests.faults.schedule import Kind, schedule
from tests.faults.session import Session, Struck
from tests.faults.strikes import STRIKES
from tests.faults.test_verdict import GOOD

KILL, NOTED = (replace(schedule(1, 1, [Kind.WORKER_KILLED])[0], number=number) for number in range(2))
RUN = Session(struck=[Struck(KILL, 4.0, ("a", "b")), Struck(NOTED, 6.0, ("a",))], verdict=GOOD)
SILENT = Session(struck=[Struck(schedule(1, 1, [Kind.POISON])[0], 1.0, ())], verdict=GOOD)


def test_kinds_all_have_a_strike_and_signs() -> None:
    assert set(STRIKES) == set(SIGNS) == set(Kind)


def test_figures_have_these_keys_and_no_others() -> None:
    figures = json.loads(json.dumps(summary([RUN, SILENT])))
    assert figures == {
        "faults": 3,
        "accepted": 18,
        "lost": 0,
        "folded_twice": 0,
        "without_list": 0,
        "unlogged": 0,
        "logged_twice": 0,
        "wrong_versions": 0,
        "recovery_seconds": {"p50": 4.0, "max": 6.0},
        "by_kind": {
            "worker_killed": {"count": 2, "recovery_seconds": {"p50": 6.0, "max": 6.0}, "told": {"a": 2, "b": 1}},
            "poison": {"count": 1, "recovery_seconds": {"p50": 1.0, "max": 1.0}, "told": {"nothing": 1}},
        },
    }


def test_page_says_whether_the_promises_held() -> None:
    assert "Every promise held." in page([RUN, SILENT])
    broken = replace(SILENT, broken=["2 users had no list in time"])
    text = page([RUN, broken])
    assert "BROKEN: 2 users had no list in time" in text
    assert "Every promise held." not in text
