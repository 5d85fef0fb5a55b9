"""The small parts of the demo: its folder, its steps, and what it reads from its children."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from deploy.demo import demo
from deploy.errors import DeployError, MissingPart
from deploy.local import build_model as building
from deploy.local import progress as bars
from deploy.local.brokers import EmbeddedBroker
from deploy.local.build_model import check_unseen
from deploy.local.stack import Stage, claimed
from deploy.local.steps import Steps
from deploy.replay.catalogue_reading import AT_LAST_SECONDS, FEW, SOON_SECONDS, USEFUL, Reading
from inference.errors import TritonNotAvailable, WeightsError
from inference.item_tokens.adapter import Adapter, Cut
from inference.item_tokens.heads import Heads, Shape
from inference.item_tokens.residuals import Residuals
from schemas.events import Event, EventKind
from tests.support.patience import until


def test_run_has_a_separate_empty_folder(tmp_path: Path) -> None:
    left = tmp_path / "demo" / "state"
    left.mkdir(parents=True)
    with claimed(tmp_path / "demo") as folder:
        assert list(folder.iterdir()) == []
        with pytest.raises(DeployError, match="another demo is running"), claimed(tmp_path / "demo"):
            pass
    with claimed(tmp_path / "demo"):
        pass


def test_steps_are_plain_lines_without_a_terminal() -> None:
    out = io.StringIO()
    with Steps(Console(file=out)) as steps:
        with steps.step("model") as step:
            step.say("converting", 1, 2)
            step.say("tritonserver answers")
        with pytest.raises(ValueError, match="no"), steps.step("broker"):
            raise ValueError("no")
    lines = out.getvalue().splitlines()
    assert lines[0] == "model ..."
    assert lines[1].startswith("model: tritonserver answers (")
    assert lines[2:] == ["broker ..."], "a step that failed is not reported as done"


def test_long_step_repeats_its_line_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "TELL_SECONDS", 0.01)
    out = io.StringIO()
    with Steps(Console(file=out)) as steps, steps.step("films read") as step:
        until(lambda: "films read: 0:00 so far" in out.getvalue(), "a line about a step that says nothing")
        step.say("1 of 2")
        until(lambda: "films read: 1 of 2, 0:0" in out.getvalue(), "a line about what it said")


def test_steps_move_in_a_terminal() -> None:
    out = io.StringIO()
    with Steps(Console(file=out, force_terminal=True, width=80)) as steps:
        with steps.step("model") as step:
            step.say("converting", 2, 2)
            step.say("tritonserver loads the model")
            assert steps._bars is not None
            assert not any(task.finished for task in steps._bars.tasks), "what is done within a step is not the step"
        with pytest.raises(ValueError, match="no"), steps.step("broker"):
            raise ValueError("no")
    last = out.getvalue().splitlines()[-3:]
    assert "✓" in last[-3] or "✓" in last[-2]
    assert "not finished" in out.getvalue()


def test_progress_is_read_back_from_the_builder(capsys: pytest.CaptureFixture[str]) -> None:
    building.report("converting weights: layer 3", 3, 30)
    assert building.parse(capsys.readouterr().out.rstrip("\n")) == ("converting weights: layer 3", 3, 30)
    for other in ("", "some warning", "3", "3 30", "a b c"):
        assert building.parse(other) is None


class Broken(demo.Demo):
    """A demo that fails, perhaps because a part has ended."""

    part: str | None = None

    def ended(self) -> str | None:
        return self.part

    async def perform(self) -> dict[str, object]:
        raise ExceptionGroup("tasks", [ExceptionGroup("tasks", [MissingPart("The lamp", "Light it.")])])


@pytest.mark.parametrize(
    ("part", "says"),
    [(None, "ouzel: The lamp was not found. Light it.\n"), ("Worker 1 was killed.", "ouzel: Worker 1 was killed.\n")],
)
def test_failure_is_printed_before_the_parts_are_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str | None, says: str
) -> None:
    monkeypatch.setattr(Broken, "part", part)
    monkeypatch.setattr(demo, "Demo", Broken)
    out = io.StringIO()
    assert demo.run(demo.Options(work=tmp_path), Console(file=out)) == 1
    assert out.getvalue() == says + "stopping all parts ...\n"


def test_lists_begin_when_the_popular_films_are_read_or_after_a_while() -> None:
    reading = Reading(1_682)
    assert not reading.enough(USEFUL - 1, 0.0)
    assert reading.enough(USEFUL, 0.0)
    assert not reading.enough(FEW - 1, SOON_SECONDS)
    assert reading.enough(FEW, SOON_SECONDS)
    assert reading.enough(0, AT_LAST_SECONDS)
    assert Reading(20).enough(20, 0.0)
    assert not Reading(20).enough(19, 0.0)


def test_reading_reports_progress_and_time_left() -> None:
    reading = Reading(1_682)
    assert reading.told(0, 0.0) == "0 of 1,682 films read, time left unknown"
    for second in range(1, 42):
        told = reading.told(10 * second + 2, float(second))
    assert told == "412 of 1,682 films read, about 2 min left"


async def test_reason_for_scoring_in_process_is_printed_in_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However narrow the terminal is, and whatever stands beside it."""

    def missing() -> None:
        raise TritonNotAvailable("there is no tritonserver here; " + "say " * 60 + "what would change it")

    async def built(*_: object) -> None:
        pass

    out = io.StringIO()
    rating = Event(id="e", user="u", kind=EventKind.RATE, ts=1, item="i", value=5.0)
    console = Console(file=out, force_terminal=True, width=60)
    monkeypatch.setattr("deploy.local.stack.find_installation", missing)
    monkeypatch.setattr(Stage, "build_model", built)
    broker = EmbeddedBroker(tmp_path / "broker")
    with Stage(tmp_path, tmp_path / "models", broker) as stage, Steps(console) as steps:
        await demo.Demo(demo.Options(), console, stage)._model(steps, [rating], [])
    plain = Text.from_ansi(out.getvalue()).plain.replace("\n", " ")
    assert f"Scoring in-process: {stage.without_triton}" in " ".join(plain.split())


def test_lists_are_not_judged_on_what_the_model_has_learned_from() -> None:
    shape = Shape(hidden=4, reading=8, layers=1)
    adapter = Adapter("base", Heads(shape), {}, Residuals.empty(shape), cut=Cut(ts=1_000, share=0.8))
    check_unseen(adapter, 1_000)
    with pytest.raises(WeightsError, match=r"--history 0\.8"):
        check_unseen(adapter, 999)
    check_unseen(replace(adapter, cut=None), 0)
