"""The small parts of the demo: its folder, its steps, and what it reads from its children."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from rich.console import Console
from rich.text import Text

from deploy import building, demo
from deploy.brokers import EmbeddedBroker
from deploy.building import check_unseen
from deploy.errors import DeployError, MissingPart
from deploy.stage import Stage, read
from deploy.steps import Steps
from inference.errors import TritonNotAvailable, WeightsError
from inference.item_tokens.adapter import Adapter, Cut
from inference.item_tokens.heads import Heads, Shape
from inference.item_tokens.residuals import Residuals
from schemas.events import EventKind
from streams.metrics import Metrics


def test_a_run_has_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    left = tmp_path / "demo" / "state"
    left.mkdir(parents=True)
    with demo.claimed(tmp_path / "demo") as folder:
        assert list(folder.iterdir()) == []
        with pytest.raises(DeployError, match="another demo runs"), demo.claimed(tmp_path / "demo"):
            pass
    with demo.claimed(tmp_path / "demo"):
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


def test_steps_move_in_a_terminal() -> None:
    out = io.StringIO()
    with Steps(Console(file=out, force_terminal=True, width=80)) as steps:
        with steps.step("model") as step:
            step.say("converting", 1, 2)
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


def test_folded_events_are_read_from_a_workers_metrics() -> None:
    metrics = Metrics()
    metrics.events.labels(EventKind.RATE.value).inc(41)
    metrics.events.labels(EventKind.VIEW.value).inc()
    assert read(generate_latest(metrics.registry).decode(), "ouzel_events") == 42


def test_a_failure_among_others_comes_out_as_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def broken(*_: object) -> int:
        raise ExceptionGroup("tasks", [ExceptionGroup("tasks", [MissingPart("The lamp", "Light it.")])])

    monkeypatch.setattr(demo, "_run", broken)
    with pytest.raises(MissingPart, match=r"The lamp was not found\. Light it\."):
        demo.run(demo.Options(work=tmp_path), Console(file=io.StringIO()))


async def test_the_reason_for_scoring_in_process_is_told_in_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However narrow the terminal is, and whatever stands beside it."""

    def missing() -> None:
        raise TritonNotAvailable("there is no tritonserver here; " + "say " * 60 + "what would change it")

    async def built(*_: object) -> None:
        pass

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60)
    monkeypatch.setattr("deploy.stage.find_installation", missing)
    monkeypatch.setattr(Stage, "build_model", built)
    broker = EmbeddedBroker(tmp_path / "broker")
    with Stage(tmp_path, tmp_path / "models", broker) as stage, Steps(console) as steps:
        await demo.Demo(demo.Options(), console, stage)._model(steps, 0)
    plain = Text.from_ansi(out.getvalue()).plain.replace("\n", " ")
    assert f"Scoring in-process: {stage.without_triton}" in " ".join(plain.split())


def test_lists_are_not_judged_on_what_the_model_has_learned_from() -> None:
    shape = Shape(hidden=4, reading=8, layers=1)
    adapter = Adapter("base", Heads(shape), {}, Residuals.empty(shape), cut=Cut(ts=1_000, share=0.8))
    check_unseen(adapter, 1_000)
    with pytest.raises(WeightsError, match=r"--history 0\.8"):
        check_unseen(adapter, 999)
    check_unseen(replace(adapter, cut=None), 0)
