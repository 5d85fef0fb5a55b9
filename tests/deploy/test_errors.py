"""Every expected failure is one sentence, and so is a bug."""

from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from deploy import cli
from deploy.errors import MissingPart, StartFailed, expected, first_of
from inference.errors import WeightsError
from streams.errors import BadSetting


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MissingPart("The lamp", "Light it."), "The lamp was not found. Light it."),
        (WeightsError("no weights"), "no weights"),
        (BadSetting("no setting"), "no setting"),
        (KafkaConnectionError("gone"), "the brokers failed"),
        (TimeoutError(), "an operation timed out"),
        (TimeoutError("the lamp is slow"), "the lamp is slow"),
        (PermissionError(13, "Permission denied", "lamp.json"), "Permission denied: lamp.json"),
        (ConnectionResetError("reset"), "a system call failed: reset"),
        (ExceptionGroup("tasks", [ExceptionGroup("tasks", [StartFailed("it ended")])]), "it ended"),
    ],
)
def test_known_failure_has_a_one_line_message(error: Exception, says: str) -> None:
    sentence = expected(error)
    assert sentence is not None
    assert says in sentence
    assert "\n" not in sentence


def test_bug_has_no_message() -> None:
    assert expected(KeyError("x")) is None
    assert expected(ExceptionGroup("tasks", [KeyError("x")])) is None


def test_group_reports_its_known_failure_first() -> None:
    wanted = StartFailed("it ended")
    assert first_of(ExceptionGroup("a", [KeyError("x"), ExceptionGroup("b", [wanted])])) is wanted


def test_bug_is_reported_in_one_line_with_a_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise KeyError("[red]")

    monkeypatch.setattr(cli, "cli", broken)
    monkeypatch.setattr(cli, "WORK", tmp_path)
    monkeypatch.setattr(cli, "FAULTS", tmp_path / "fault.log")
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    told = capsys.readouterr().err
    assert told.startswith("ouzel: KeyError: this is a bug in Ouzel. Please report it with ")
    assert told.count("\n") == 1
    assert "KeyError: '[red]'" in (tmp_path / "fault.log").read_text()
