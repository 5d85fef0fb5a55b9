"""A secret is shown, joined, stored and sent only through `reveal`."""

import copy
import json
import logging
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import BadSetting
from streams.secret import SHOWN, Secret
from streams.settings import Settings, read_settings, values_of, variable

VALUE = "hunter2-hunter2-hunter2"
HELD = Secret(VALUE)
SETTINGS = Settings.make(sasl_password=HELD, web_token=HELD, pseudonym_key=HELD)

REFUSED: dict[str, Callable[[Any], object]] = {
    "adding": lambda held: "Bearer " + held,
    "adding to it": lambda secret: secret + "!",
    "joining": lambda secret: "\0".join(["user", secret]),
    "JSON": json.dumps,
    "JSON of a dictionary": lambda secret: json.dumps({"password": secret}),
    "JSON of what it has": lambda secret: json.dumps(secret, default=vars),
    "msgspec's JSON": msgspec.json.encode,
    "MessagePack": msgspec.msgpack.encode,
    "builtins": msgspec.to_builtins,
    "pickle": pickle.dumps,
    "an old pickle": lambda secret: pickle.dumps(secret, protocol=0),
    "its state": lambda secret: secret.__getstate__(),
    "letters": list,
    "length": len,
    "a slice": lambda secret: secret[:4],
    "bytes": bytes,
    "searching": lambda secret: "h" in secret,
    "a dictionary as JSON": lambda secret: msgspec.json.encode({"password": secret}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_secret_is_not_a_string(name: str) -> None:
    with pytest.raises(TypeError) as refused:
        REFUSED[name](HELD)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["JSON", "msgspec's JSON", "MessagePack", "builtins", "pickle"])
def test_settings_with_a_secret_cannot_be_sent(name: str) -> None:
    with pytest.raises(TypeError) as refused:
        REFUSED[name](SETTINGS)
    assert "hunter2" not in str(refused.value)


def test_secret_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("%s %r %s %s", HELD, HELD, {"held": HELD}, SETTINGS)
    shown = [str(HELD), repr(HELD), ascii(HELD), str([HELD]), f"{HELD}", f"{HELD!r}", f"{HELD:>40}"]
    shown += ["{:s}".format(HELD), "%s %r" % (HELD, HELD)]  # noqa: UP031, UP032 - also shown so
    shown += [
        json.dumps(HELD, default=str),
        repr(SETTINGS),
        str(msgspec.structs.asdict(SETTINGS)),
        str(values_of(SETTINGS)),
        caplog.text,
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert repr(HELD) == str(HELD) == SHOWN == "<secret>"
    assert (str(Secret()), repr(Secret()), bool(Secret()), bool(HELD)) == ("", "<no secret>", False, True)


HOLD_THE_ENVIRONMENT = ("test_traceback_with_variables_does_not_show_a_secret", "read_settings")


def test_traceback_with_variables_does_not_show_a_secret() -> None:
    """As crash reporters write them, for refused settings beside a secret and for refused secrets."""
    given = {variable(name): VALUE for name in ("sasl_password", "web_token", "pseudonym_key")}
    for wrong in (
        {"OUZEL_HEARTBEAT_S": "300"},
        {"OUZEL_WEB_PORT": "none"},
        {"OUZEL_WEB_TOKEN": "hunter2 hunter2 hunter2"},
        {"OUZEL_PSEUDONYM_KEY": "hunter2"},
    ):
        with pytest.raises(BadSetting) as refused:
            read_settings({**given, **wrong})
        told = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
        frames = [each.locals for each in told.stack if each.name not in HOLD_THE_ENVIRONMENT]
        assert any(frames)
        assert "hunter2" not in str(frames) + str(refused.value)


def test_secrets_are_compared_by_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret() == Secret("")
    assert Secret() != Secret("a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert msgspec.structs.replace(SETTINGS.web, port=1).token == HELD
    assert copy.deepcopy(HELD) == copy.copy(HELD) == HELD
    assert sys.getsizeof(HELD) < 100


@given(st.text(), st.text())
def test_secret_matches_only_its_text(text: str, other: str) -> None:
    assert Secret(text).matches(text) is bool(text)
    assert Secret(text).matches(other) is (bool(text) and text == other)
