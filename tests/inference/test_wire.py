import math
from contextlib import suppress

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import wire
from inference.errors import RequestRefused, SettingsError
from inference.settings import DType, ModelSettings
from schemas.scoring import InvalidAnswer
from tests.inference.tiny import request


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(payload: bytes) -> None:
    with suppress(RequestRefused):
        wire.decode(payload)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_no_message_crashes_it(value: object) -> None:
    try:
        payload = msgpack.packb(value)
    except OverflowError:
        return
    with pytest.raises(RequestRefused):
        wire.decode(payload)


def test_there_and_back() -> None:
    asked = request(["Heat"], ["Alien", "Ælien"], steer=("less",), scene="home", session=2**40)
    assert wire.decode(wire.encode(asked)) == asked


def test_a_long_request_is_refused_unread() -> None:
    with pytest.raises(RequestRefused, match="send less text"):
        wire.decode(b"\x00" * (wire.MAX_REQUEST_BYTES + 1))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RequestRefused):
        wire.decode(b"\x91" * 100_000)


@given(st.lists(st.floats(), max_size=5), st.integers(0, 5))
def test_an_answer_has_one_finite_score_a_candidate(scores: list[float], asked: int) -> None:
    if len(scores) == asked and all(map(math.isfinite, scores)):
        assert wire.answer(scores, asked, "v").scores == tuple(scores)
    else:
        with pytest.raises(InvalidAnswer):
            wire.answer(scores, asked, "v")


@pytest.mark.parametrize(
    ("name", "value"), [("threads", 0), ("dtype", "fp16"), ("max_history", 1), ("prefix_cache_mib", -1), ("colour", 1)]
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        ModelSettings.make(**{name: value})


def test_settings_read_as_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.json"
    chosen = ModelSettings.make(dtype="fp32", max_history=7)
    chosen.write(path)
    assert ModelSettings.read(path) == chosen
    assert chosen.dtype is DType.FP32
    path.write_bytes(msgspec.json.encode({"threads": "many"}))
    with pytest.raises(SettingsError, match="build the model repository again"):
        ModelSettings.read(path)
