"""The full-text engine, on a tiny random model in fp32."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import RequestRefused
from inference.full_text.engine import Engine
from inference.wire import Answer, Answered
from schemas.scoring import ScoreRequest
from tests.support.tiny_model import engine, request

TOLERANCE = 1e-4

text = st.text(max_size=12)
requests = st.builds(
    request,
    st.lists(text, max_size=6),
    st.lists(text, min_size=1, max_size=4),
    session=st.integers(0, 3),
    steer=st.lists(text, max_size=2).map(tuple),
    scene=st.sampled_from(["default", "home"]),
    kind=st.sampled_from(["like", "view"]),
)


def scores(answer: Answer) -> tuple[float, ...]:
    assert isinstance(answer, Answered)
    assert answer.vector == ()
    return answer.scores


def one_by_one(asked: ScoreRequest) -> tuple[float, ...]:
    """Each candidate in a separate pass without a cache."""
    fresh = engine()
    result: list[float] = []
    for candidate in asked.candidates:
        fresh.clear()
        (answer,) = fresh.score([request_with(asked, candidate.text)])
        result.extend(scores(answer))
    return tuple(result)


def request_with(asked: ScoreRequest, *candidates: str) -> ScoreRequest:
    return request(
        [past.text for past in asked.history],
        list(candidates),
        session=asked.session,
        steer=asked.steer,
        scene=asked.scene,
        kind=asked.history[0].kind if asked.history else "like",
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4))
def test_packed_requests_score_as_each_candidate_alone(batch: list[ScoreRequest]) -> None:
    """Several requests in one pass, with and without cached prefixes, get the scores of separate passes."""
    shared = engine()
    for _ in range(2):
        for asked, answer in zip(batch, shared.score(batch), strict=True):
            assert scores(answer) == pytest.approx(one_by_one(asked), abs=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(st.lists(text, min_size=1, max_size=8), st.data())
def test_cached_prefix_changes_no_score(history: list[str], data: st.DataObject) -> None:
    """Requests of a user with any sequence of histories: longer, shorter, changed."""
    keeping = engine()
    for _ in range(4):
        length = data.draw(st.integers(0, len(history)))
        asked = request(history[:length], ["one", "another"])
        (answer,) = keeping.score([asked])
        assert scores(answer) == pytest.approx(one_by_one(asked), abs=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(text, text)
def test_candidate_text_changes_no_other_score(first: str, second: str) -> None:
    (left,) = engine().score([request(["Heat"], [first, "Alien"])])
    (right,) = engine().score([request(["Heat"], [second, "Alien"])])
    assert scores(left)[1] == pytest.approx(scores(right)[1], abs=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(requests, st.lists(text, max_size=3), st.randoms(use_true_random=False))
def test_order_and_batch_change_no_score(asked: ScoreRequest, others: list[str], random) -> None:
    (answer,) = engine().score([asked])
    company = [*enumerate(candidate.text for candidate in asked.candidates), *((None, other) for other in others)]
    random.shuffle(company)
    (moved,) = engine().score([request_with(asked, *(text for _, text in company))])
    for (place, _), found in zip(company, scores(moved), strict=True):
        if place is not None:
            assert found == pytest.approx(scores(answer)[place], abs=TOLERANCE)


def test_history_and_steering_change_the_scores() -> None:
    plain = scores(engine().score([request(["Heat"], ["Alien", "Fargo"])])[0])
    other = scores(engine().score([request(["Toys"], ["Alien", "Fargo"])])[0])
    wished = scores(engine().score([request(["Heat"], ["Alien", "Fargo"], steer=("less horror",))])[0])
    assert max(abs(a - b) for a, b in zip(plain, other, strict=True)) > 100 * TOLERANCE
    assert max(abs(a - b) for a, b in zip(plain, wished, strict=True)) > 100 * TOLERANCE


def test_next_request_computes_only_new_tokens() -> None:
    """Rows of a pass: the new line of history and the tail, not the cached part."""
    counted = Counted()
    history = [f"film number {i}" for i in range(5)]
    counted.engine.score([request(history, ["ab", "abc"])])
    first = counted.rows
    counted.engine.score([request([*history, "xy"], ["ab", "abc"])])
    line, tail, candidates = len("like: xy\n"), len("like:"), len(" a") + len(" ab")
    assert counted.rows - first == line + tail + candidates


def test_token_limit_splits_the_batch_into_several_passes() -> None:
    batch = [request([f"film {i}" * 3], ["ab", "cd"], session=i) for i in range(6)]
    one, many = Counted(), Counted(max_pass_tokens=64)
    left, right = one.engine.score(batch), many.engine.score(batch)
    assert (one.passes, many.passes > 2) == (1, True)
    for a, b in zip(left, right, strict=True):
        assert scores(a) == pytest.approx(scores(b), abs=TOLERANCE)


def test_cached_prefixes_stay_within_their_bytes() -> None:
    bounded = engine(prefix_cache_mib=1)
    for session in range(40):
        bounded.score([request([f"{session} {'x' * 20}"] * 15, ["ab"], session=session)])
        assert bounded.cached_bytes <= 1024 * 1024
    assert bounded.cached_bytes > 512 * 1024


def test_refused_request_does_not_affect_others() -> None:
    good = request(["Heat"], ["Alien"])
    answers = engine(max_candidates=2).score([good, request([], ["a", "b", "c"], session=2), good])
    assert isinstance(answers[1], RequestRefused)
    assert "at most 2" in str(answers[1])
    assert scores(answers[0]) == pytest.approx(scores(answers[2]), abs=TOLERANCE)


def test_abandoned_request_is_skipped() -> None:
    counted = Counted()
    answers = counted.engine.score([request(["Heat"], ["Alien"])], skip=lambda _: True)
    assert (answers, counted.passes) == ([None], 0)


def test_request_without_candidates_gets_no_scores() -> None:
    assert engine().score([request(["Heat"], [])]) == [Answered(())]
    assert engine().score([]) == []


class Counted:
    """An engine that counts its passes and their rows."""

    def __init__(self, **settings: object) -> None:
        self.engine: Engine = engine(**settings)
        self.passes = 0
        self.rows = 0
        base = self.engine._likelihoods.decoder
        base.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: object, args: object, kwargs: dict[str, object]) -> None:
        self.passes += 1
        self.rows += kwargs["input_ids"].shape[1]  # type: ignore[attr-defined]
