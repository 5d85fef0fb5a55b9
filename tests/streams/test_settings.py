"""Settings: read once, checked, documented, and secrets that never print."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from schemas.limits import OLDEST_EVENT_MS
from streams.errors import BadSetting
from streams.secret import Secret
from streams.settings import Settings, read_settings, settings_table, throwaway, to_environment, variable

DOC = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_page_is_in_step() -> None:
    made = 'python -c "from streams.settings import settings_table; print(settings_table(), end=str())"'
    assert DOC.read_text() == settings_table(), f"make it again: {made} > docs/reference/settings.md"


def test_every_setting_says_what_it_is() -> None:
    for each in fields(Settings):
        assert each.metadata["doc"].endswith("."), each.name


@pytest.mark.parametrize("name", ["a b", "x" * 250, "worker/1", "ouzel:1"])
def test_an_instance_has_a_name_that_brokers_take(name: str) -> None:
    assert Settings(group_instance="worker-1.b_2").group_instance == "worker-1.b_2"
    with pytest.raises(BadSetting, match="OUZEL_GROUP_INSTANCE"):
        Settings(group_instance=name)


def test_defaults_are_good() -> None:
    assert read_settings({}) == Settings()


def test_read_from_the_environment() -> None:
    settings = read_settings(
        {
            "OUZEL_BROKERS": "a:1,b:2",
            "OUZEL_WEB_PORT": " 80 ",
            "OUZEL_COMMIT_INTERVAL_S": "0.5",
            "OUZEL_STATE_DIR": "/x",
        }
    )
    assert (settings.brokers, settings.web_port, settings.commit_interval_s) == ("a:1,b:2", 80, 0.5)
    assert settings.state_dir == Path("/x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OUZEL_WEB_PORT", "http"),
        ("OUZEL_WEB_PORT", "70000"),
        ("OUZEL_COMMIT_INTERVAL_S", "nan"),
        ("OUZEL_EXPLORATION", "1.5"),
        ("OUZEL_TURN_MS", "0"),
        ("OUZEL_SEEN_AGAIN", "sometimes"),
        ("OUZEL_SEEN_AGAIN", "never, news=0"),
        ("OUZEL_SEEN_AGAIN", "never, =7"),
        ("OUZEL_SEEN_KINDS", "all, shop=bought"),
        ("OUZEL_SEEN_KINDS", "all, shop=purchase, shop=view"),
        ("OUZEL_SECURITY", "tls"),
        ("OUZEL_HEARTBEAT_S", "30"),
        ("OUZEL_OLDEST_EVENT", "1969-12-31"),
        ("OUZEL_OLDEST_EVENT", "1980"),
        ("OUZEL_OLDEST_EVENT", "19800101"),
        ("OUZEL_OLDEST_EVENT", "yesterday"),
        ("OUZEL_PATIENCE_MS", "5000"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=name):
        read_settings({name: text})


def test_the_oldest_event_is_a_day_in_utc() -> None:
    assert Settings().oldest_event_ms == OLDEST_EVENT_MS
    assert Settings(oldest_event="1970-01-01").oldest_event_ms == 0
    assert Settings(oldest_event="1970-01-02").oldest_event_ms == 86_400_000


def test_there_and_back() -> None:
    settings = throwaway("h:1", sasl_password=Secret("hunter2"), exploration=0.25)
    assert read_settings(to_environment(settings)) == settings


def test_a_secret_does_not_print() -> None:
    settings = Settings(sasl_password=Secret("hunter2"))
    assert settings.sasl_password.reveal() == "hunter2"
    for shown in (repr(settings), str(settings), f"{settings.sasl_password}", f"{settings.sasl_password:>20}"):
        assert "hunter2" not in shown


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().web_port = 1


def test_a_variable_for_each() -> None:
    assert variable("web_port") == "OUZEL_WEB_PORT"
