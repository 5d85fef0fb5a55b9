import math
from contextlib import suppress

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import wire
from inference.errors import RequestRefused, SettingsError
from inference.settings import DType, ModelSettings
from schemas.scoring import MAX_ABOUT, MAX_DESCRIBED, MAX_WIDTH, Candidate, InvalidAnswer, ItemVectors
from tests.support.tiny_model import request


@given(st.binary(max_size=200))
def test_decode_survives_any_bytes(payload: bytes) -> None:
    with suppress(RequestRefused):
        wire.decode(payload)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)))
def test_decode_survives_any_message(value: object) -> None:
    try:
        payload = msgpack.packb(value)
    except OverflowError:
        return
    with pytest.raises(RequestRefused):
        wire.decode(payload)


@pytest.mark.parametrize("session", [2**40, 2**63 - 1, -1, -(2**63)])
def test_score_request_survives_a_round_trip(session: int) -> None:
    asked = request(["Heat"], ["Alien", "Ælien"], steer=("less",), scene="home", session=session)
    assert wire.decode(wire.encode(asked)) == asked
    past = msgspec.structs.replace(asked.history[0], item="heat", about="crime", feeling=-1, ts=2**41)
    asked = msgspec.structs.replace(asked, history=(past,), candidates=())
    assert wire.decode(wire.encode(asked)) == asked


def test_describe_request_survives_a_round_trip() -> None:
    asked = wire.DescribeRequest((Candidate("Heat", item="heat", about="crime"), Candidate("Alien")))
    assert wire.decode(wire.encode(asked)) == asked


def test_describe_is_recognised_by_its_first_bytes() -> None:
    film = Candidate("Heat")
    for asked in (wire.DescribeRequest(()), wire.DescribeRequest((film,) * MAX_DESCRIBED)):
        assert wire.encode(asked).startswith(wire.DESCRIBE)
    for other in (request(["Heat"], ["Alien"]), wire.ForgetRequest((1,))):
        assert not wire.encode(other).startswith(wire.DESCRIBE)


def test_requests_beyond_the_bounds_are_refused() -> None:
    film = Candidate("Heat")
    with pytest.raises(RequestRefused, match="length"):
        wire.decode(wire.encode(wire.DescribeRequest((film,) * (MAX_DESCRIBED + 1))))
    with pytest.raises(RequestRefused, match="length"):
        wire.decode(wire.encode(wire.DescribeRequest((Candidate("Heat", about="x" * (MAX_ABOUT + 1)),))))
    asked = request(["Heat"], ["Alien"])
    for wrong in ({"feeling": 3}, {"feeling": -3}, {"ts": -1}):
        past = msgspec.structs.replace(asked.history[0], **wrong)
        with pytest.raises(RequestRefused):
            wire.decode(wire.encode(msgspec.structs.replace(asked, history=(past,))))


def test_long_request_is_refused_undecoded() -> None:
    with pytest.raises(RequestRefused, match="send less text"):
        wire.decode(b"\x00" * (wire.MAX_REQUEST_BYTES + 1))


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RequestRefused):
        wire.decode(b"\x91" * 100_000)


@given(st.lists(st.floats(), max_size=5), st.lists(st.floats(), max_size=3), st.integers(0, 5))
def test_answer_has_one_finite_score_per_candidate(scores: list[float], vector: list[float], asked: int) -> None:
    answered = wire.Answered(tuple(scores), tuple(vector))
    if len(scores) == asked and all(map(math.isfinite, (*scores, *vector))):
        made = wire.answer(answered, asked, "v")
        assert (made.scores, made.vector, made.model_version) == (tuple(scores), tuple(vector), "v")
    else:
        with pytest.raises(InvalidAnswer):
            wire.answer(answered, asked, "v")


def test_vector_has_a_bound() -> None:
    assert wire.answer(wire.Answered((), (0.0,) * MAX_WIDTH), 0, "v").vector
    with pytest.raises(InvalidAnswer, match="narrower"):
        wire.answer(wire.Answered((), (0.0,) * (MAX_WIDTH + 1)), 0, "v")


@given(st.lists(st.floats(width=32), max_size=12), st.integers(-1, 4), st.integers(0, 4))
def test_described_items_have_one_finite_vector_each(values: list[float], width: int, asked: int) -> None:
    made = ItemVectors(width=width, values=np.array(values, "<f4").tobytes(), model_version="v")
    if width >= 0 and len(values) == width * asked and all(map(math.isfinite, values)):
        assert wire.described(made, asked) == made
    else:
        with pytest.raises(InvalidAnswer):
            wire.described(made, asked)


@pytest.mark.parametrize(
    ("name", "value"), [("threads", -1), ("dtype", "fp16"), ("max_history", 1), ("prefix_cache_mib", -1), ("colour", 1)]
)
def test_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        ModelSettings.make(**{name: value})


def test_settings_survive_a_round_trip(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("settings") / "settings.json"
    chosen = ModelSettings.make(dtype="fp32", max_history=7)
    chosen.write(path)
    assert ModelSettings.read(path) == chosen
    assert chosen.dtype is DType.FP32
    path.write_bytes(msgspec.json.encode({"threads": "many"}))
    with pytest.raises(SettingsError, match="rebuild the model repository"):
        ModelSettings.read(path)


@pytest.mark.parametrize("sessions", [(), (0, 2**63 - 1), None])
def test_forget_request_survives_a_round_trip(sessions: tuple[int, ...] | None) -> None:
    assert wire.decode(wire.encode(wire.ForgetRequest(sessions))) == wire.ForgetRequest(sessions)
