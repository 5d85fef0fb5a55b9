"""`ouzel train` as it is typed."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy.commands import train as train_command
from deploy.datasets import dataset as datasets
from inference.training.trainer import Trainer
from tests.deploy.learning.test_adapter import dataset
from tests.support import training_world as world


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The command on the tiny model and its people, at this process's own priority."""
    monkeypatch.setattr(train_command, "lower_priority", lambda niceness: None)
    monkeypatch.setattr("inference.transformer.weights.convert", lambda target, settings, progress: target)
    monkeypatch.setattr("inference.training.learner.Base", lambda *given: world.Base())
    monkeypatch.setattr(datasets, "films", dataset)
    few = ["--epochs", "2", "--list-epochs", "0", "--variants", "1", "--rank", "4", "--until", "0.8"]
    return lambda *more: CliRunner().invoke(train_command.train, [*few, "--out", str(tmp_path / "mine"), *more])


def test_train_prints_the_quality_of_the_adapter(run: Any, tmp_path: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "HR@10" in result.output
    assert "better than popularity" in result.output
    assert (tmp_path / "mine" / "card.md").exists()


def test_stopped_training_prints_how_to_resume(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, calls = Trainer.learn, []

    def stopped(self: Any, *given: Any, **named: Any) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, *given, **named)

    monkeypatch.setattr(Trainer, "learn", stopped)
    result = run()
    assert result.exit_code == 130
    assert "--resume to continue" in result.output
    assert (tmp_path / "mine.training").exists()
    assert run("--resume").exit_code == 0
    assert len(calls) == 3  # the first epoch is not done again
    assert not (tmp_path / "mine.training").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--feedback", __file__], "--feedback needs --items"),
        (["--feedback", __file__, "--items", __file__, "--events", __file__], "replaces --events"),
        (["--items", __file__], "--items needs --events"),
    ],
)
def test_options_that_do_not_go_together(run: Any, options: list[str], message: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert message in result.output
