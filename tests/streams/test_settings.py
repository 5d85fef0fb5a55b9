"""Settings: read once, checked, documented, and secrets that never print."""

from pathlib import Path

import msgspec
import pytest

from schemas.limits import OLDEST_EVENT_MS
from streams.errors import BadSetting
from streams.secret import Secret
from streams.settings import (
    Kafka,
    Lists,
    Settings,
    Web,
    all_settings,
    read_settings,
    settings_table,
    throwaway,
    to_environment,
    values_of,
    variable,
)

DOC = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_page_of_settings_is_up_to_date() -> None:
    made = 'python -c "from streams.settings import settings_table; print(settings_table(), end=str())"'
    assert DOC.read_text() == settings_table(), f"make it again: {made} > docs/reference/settings.md"


def test_every_setting_has_a_text_and_a_unique_variable() -> None:
    settings = list(all_settings())
    assert all(each.doc.endswith(".") for each in settings)
    assert len({each.variable for each in settings}) == len(settings)


@pytest.mark.parametrize("name", ["a b", "x" * 250, "worker/1", "ouzel:1"])
def test_group_instance_is_a_name_that_brokers_accept(name: str) -> None:
    assert Settings.make(group_instance="worker-1.b_2").kafka.group_instance == "worker-1.b_2"
    with pytest.raises(BadSetting, match="OUZEL_GROUP_INSTANCE"):
        Settings.make(group_instance=name)


def test_defaults_are_valid() -> None:
    assert read_settings({}) == Settings() == Settings.make()


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(
        {
            "OUZEL_BROKERS": "a:1,b:2",
            "OUZEL_WEB_PORT": " 80 ",
            "OUZEL_COMMIT_INTERVAL_S": "0.5",
            "OUZEL_STATE_DIR": "/x",
            "OUZEL_OF_ANOTHER_PROGRAM": "1",
        }
    )
    kafka = settings.kafka
    assert (kafka.brokers, settings.web.port, kafka.commit_interval_s) == ("a:1,b:2", 80, 0.5)
    assert settings.state.dir == Path("/x")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OUZEL_WEB_PORT", "http"),
        ("OUZEL_WEB_PORT", "70000"),
        ("OUZEL_WEB_PORT", "9" * 30),
        ("OUZEL_COMMIT_INTERVAL_S", "nan"),
        ("OUZEL_CONTEXT_EXPIRY_DAYS", "inf"),
        ("OUZEL_EXPLORATION", "1.5"),
        ("OUZEL_TURN_MS", "0"),
        ("OUZEL_SEEN_AGAIN", "sometimes"),
        ("OUZEL_SEEN_AGAIN", "never, news=0"),
        ("OUZEL_SEEN_AGAIN", "never, =7"),
        ("OUZEL_SEEN_KINDS", "all, shop=bought"),
        ("OUZEL_SEEN_KINDS", "all, shop=purchase, shop=view"),
        ("OUZEL_SECURITY", "tls"),
        ("OUZEL_SECURITY", "ssl\udc89"),
        ("OUZEL_HEARTBEAT_S", "30"),
        ("OUZEL_OLDEST_EVENT", "1969-12-31"),
        ("OUZEL_OLDEST_EVENT", "1980"),
        ("OUZEL_OLDEST_EVENT", "19800101"),
        ("OUZEL_OLDEST_EVENT", "yesterday"),
        ("OUZEL_PATIENCE_MS", "5000"),
    ],
)
def test_unusable_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=name) as refused:
        read_settings({name: text})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"OUZEL_WEB_PORT": "http"},
            "OUZEL_WEB_PORT=http is refused: it takes a whole number, 1 to 65,535. Correct it or leave it out.",
        ),
        (
            {"OUZEL_WEB_PORT": "70000"},
            "OUZEL_WEB_PORT=70000 is out of bounds: it takes a whole number, 1 to 65,535. Correct it or leave it out.",
        ),
        (
            {"OUZEL_SECURITY": "tls"},
            "OUZEL_SECURITY=tls is out of bounds: it takes plaintext, ssl, sasl_plaintext, sasl_ssl. "
            "Correct it or leave it out.",
        ),
        ({"OUZEL_SWEEP_STEP": "\x1b[2J"}, r"OUZEL_SWEEP_STEP=\\x1b\[2J is refused: it takes a whole number, 1 or more"),
        ({"OUZEL_HEARTBEAT_S": "30"}, "OUZEL_HEARTBEAT_S=30.0 must be below OUZEL_SESSION_TIMEOUT_S=10.0."),
        ({"OUZEL_TRITON_CERT": "x"}, "OUZEL_TRITON_CERT and OUZEL_TRITON_KEY go together: set both."),
    ],
)
def test_error_names_the_setting_and_its_bounds(variables: dict[str, str], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        read_settings(variables)


def test_groups_check_values_given_to_them() -> None:
    assert Kafka(heartbeat_s=1).heartbeat_s == 1
    for make in (lambda: Kafka(heartbeat_s=0.0), lambda: Lists(length=1.5), lambda: Web(host=5)):  # type: ignore[arg-type]
        with pytest.raises(BadSetting):
            make()
    with pytest.raises(BadSetting, match="OUZEL_WEB_PORT=0"):
        msgspec.structs.replace(Settings().web, port=0)
    with pytest.raises(TypeError, match="colour"):
        Settings.make(colour="red")


def test_oldest_event_is_a_day_in_utc() -> None:
    assert Settings().folding.oldest_event_ms == OLDEST_EVENT_MS
    assert Settings.make(oldest_event="1970-01-01").folding.oldest_event_ms == 0
    assert Settings.make(oldest_event="1970-01-02").folding.oldest_event_ms == 86_400_000


def test_environment_of_a_child_gives_the_same_settings() -> None:
    settings = throwaway("h:1", sasl_password=Secret("hunter2"), exploration="0.25")
    assert read_settings(to_environment(settings)) == settings
    assert Settings.make(**values_of(settings)) == settings


def test_secret_does_not_print() -> None:
    settings = Settings.make(sasl_password=Secret("hunter2"))
    password = settings.kafka.sasl_password
    assert password.reveal() == "hunter2"
    for shown in (repr(settings), str(settings), f"{password}", f"{password:>20}"):
        assert "hunter2" not in shown


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().web.port = 1


def test_variable_is_the_name_in_capitals() -> None:
    assert variable("web_port") == "OUZEL_WEB_PORT"
