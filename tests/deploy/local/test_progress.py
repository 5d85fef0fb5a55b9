"""Long work reports its progress, with or without a terminal."""

import io
import re

import pytest
from rich.console import Console

from deploy.local import progress as bars
from deploy.local.progress import Bars, clock, telling, told_by_bars
from tests.support.patience import until


def test_no_silence_is_longer_than_half_a_minute() -> None:
    assert bars.TELL_SECONDS <= 30


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "TELL_SECONDS", 0.01)


@pytest.mark.usefixtures("soon")
def test_without_a_terminal_each_task_has_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    told = ""

    def lines() -> str:
        nonlocal told
        told += capsys.readouterr().err
        return told

    with told_by_bars(by_label=True) as progress:
        progress("prequential tie seed 0", 1_500, 20_000)
        progress("training: epoch 3", 0, 0)
        until(lambda: re.search(r"^prequential tie seed 0: 1,500 of 20,000, 0:0\d so far$", lines(), re.M) is not None)
        until(lambda: re.search(r"^training: epoch 3: 0:0\d so far$", lines(), re.M) is not None)
        before = told.count("prequential")
        until(lambda: lines().count("prequential") > before, "another line, though nothing was said of it")
        progress("training: epoch 4", 7, 9)
        until(lambda: "training: epoch 4: 7 of 9" in lines(), "the same task with what it does now")


@pytest.mark.usefixtures("soon")
def test_one_bar_begins_again_with_the_next_task(capsys: pytest.CaptureFixture[str]) -> None:
    with told_by_bars() as progress:
        progress("weights: writing", 4, 4)
        progress("reading items", 0, 0)
        until(lambda: "reading items: 0:0" in capsys.readouterr().err, "a line of the second task")


@pytest.mark.usefixtures("soon")
def test_finished_task_has_one_last_line() -> None:
    out = io.StringIO()
    with Bars(console=Console(file=out, width=200)) as shown:
        shown.add_task("items", total=3, completed=3)
        shown.add_task("live", total=9, completed=1)
        until(lambda: out.getvalue().count("live: 1 of 9") >= 3)
    assert out.getvalue().count("items: 3 of 3") == 1


@pytest.mark.usefixtures("soon")
def test_terminal_has_bars_and_no_lines() -> None:
    out = io.StringIO()
    with Bars(console=Console(file=out, width=80, force_terminal=True)) as shown:
        shown.add_task("items", total=3, completed=3)
        until(lambda: "━" in out.getvalue())
    assert "so far" not in out.getvalue()


@pytest.mark.usefixtures("soon")
def test_silent_block_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with telling("reading people.csv"):
        until(lambda: "reading people.csv: 0:0" in capsys.readouterr().err)


def test_times_are_minutes_and_seconds() -> None:
    assert (clock(5.9), clock(65), clock(7205)) == ("0:05", "1:05", "2:00:05")
