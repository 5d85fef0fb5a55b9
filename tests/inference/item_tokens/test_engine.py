"""The item-token engine's promises, on a tiny random model and adapter in fp32."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inference.errors import RequestRefused, WeightsError
from inference.item_tokens import lora, reading
from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.heads import INSTRUCTION, feeling_rows
from inference.settings import ModelSettings
from inference.wire import Answer, Answered
from schemas.scoring import MAX_DESCRIBED, Candidate, ItemVectors, Past, ScoreRequest
from tests.support import tiny_model as tiny
from tests.support.tiny_model import item_token_engine

TOLERANCE = 1e-4

texts = st.text(max_size=8)
items = st.sampled_from(["", "a", "b", "unknown"])
pasts = st.builds(
    Past,
    texts,
    st.just("view"),
    item=items,
    about=texts,
    feeling=st.integers(-1, 1),
    ts=st.integers(0, 2**40),
)
candidates = st.builds(Candidate, texts, item=items, about=texts)
requests = st.builds(
    ScoreRequest,
    session=st.integers(0, 3),
    scene=st.sampled_from(["default", "home"]),
    history=st.lists(pasts, max_size=6).map(tuple),
    candidates=st.lists(candidates, max_size=5).map(tuple),
    steer=st.lists(texts, max_size=2).map(tuple),
)
ADAPTER = tiny.adapter(items=("a", "b"))
ENGINE = item_token_engine(ADAPTER)


def answered(answer: Answer) -> Answered:
    assert isinstance(answer, Answered)
    return answer


def score(asked: ScoreRequest, engine: ItemTokenEngine = ENGINE) -> Answered:
    (answer,) = engine.score([asked])
    return answered(answer)


def matrix(found: ItemVectors) -> np.ndarray:
    return np.frombuffer(found.values, "<f4").reshape(-1, found.width)


def asked(history: list[str], offered: list[str]) -> ScoreRequest:
    return ScoreRequest(
        session=1,
        scene="default",
        history=tuple(Past(text, "like", feeling=1, ts=3_600_000 * at) for at, text in enumerate(history, 1)),
        candidates=tuple(map(Candidate, offered)),
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4))
def test_packed_requests_score_as_each_candidate_alone(batch: list[ScoreRequest]) -> None:
    """Several requests in one pass get the scores of separate passes of a fresh engine."""
    for request, answer in zip(batch, ENGINE.score(batch), strict=True):
        found = answered(answer)
        fresh = item_token_engine(ADAPTER)
        alone = [score(replace(request, candidates=(c,)), fresh).scores[0] for c in request.candidates]
        assert found.scores == pytest.approx(alone, abs=TOLERANCE)
        assert found.vector == pytest.approx(score(replace(request, candidates=()), fresh).vector, abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(requests, st.lists(candidates, max_size=4), st.randoms(use_true_random=False))
def test_order_and_batch_change_no_score(request: ScoreRequest, others: list[Candidate], random) -> None:
    company = [*enumerate(request.candidates), *((None, other) for other in others)]
    random.shuffle(company)
    moved = score(replace(request, candidates=tuple(candidate for _, candidate in company)))
    expected = score(request).scores
    for (place, _), found in zip(company, moved.scores, strict=True):
        if place is not None:
            assert found == pytest.approx(expected[place], abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(requests)
def test_score_is_the_retrieval_logit_and_a_correction(request: ScoreRequest) -> None:
    """Against the same context read row by row, without packing."""
    found = score(request)
    logits = matrix(ENGINE.describe(request.candidates)) @ np.array(found.vector, np.float32)
    assert found.vector[tiny.SHAPE.width] == 1.0
    plain = item_token_engine(without_correction())
    bare = plain.score([request])[0]
    assert answered(bare).scores == pytest.approx(logits, abs=TOLERANCE)
    assert answered(bare).vector == pytest.approx(found.vector, abs=TOLERANCE)


def test_engine_computes_the_same_pass_as_training() -> None:
    """The context's vector and a candidate's score from transformers' own causal pass over the same embeddings."""
    request = asked(["Heat", "Alien", "Fargo"], ["Jaws"])
    adapter = tiny.adapter()
    model = tiny.model().model
    reader = reading.Reader(model, tiny.ByteTokens(), "tiny-1", (1, 2))
    readings = adapter.heads.centred(reader.read(["Heat", "Alien", "Fargo", "Jaws"]))
    plain = tiny.model().model
    plain.config._attn_implementation = "sdpa"
    lora.merge(plain, adapter.lora)
    heads = adapter.heads
    tokens = heads.tokens(readings)
    begin = plain.embed_tokens(torch.tensor(tiny.ByteTokens().control(INSTRUCTION)))
    events = heads.events(tokens[:3], torch.from_numpy(feeling_rows(np.ones(3, np.int64))), torch.tensor([11, 5, 5]))
    with torch.inference_mode():
        hidden = plain(inputs_embeds=torch.cat((begin, events, heads.candidates(tokens[3:])))[None]).last_hidden_state
        vector = heads.contexts(hidden[0, -2])
        expected = heads.vectors(readings[3:])[0] @ vector + heads.corrections(hidden[0, -1])
    found = score(request, item_token_engine())
    assert found.vector == pytest.approx(vector.tolist(), abs=TOLERANCE)
    assert found.scores[0] == pytest.approx(float(expected), abs=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(st.lists(pasts, min_size=1, max_size=8), st.data())
def test_cached_prefix_changes_no_score(history: list[Past], data: st.DataObject) -> None:
    """Requests of a user with any sequence of histories: longer, shorter, with a later start."""
    keeping = item_token_engine(ADAPTER)
    for _ in range(4):
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(history))] * 2)))
        request = replace(asked([], ["one", "another"]), history=tuple(history[begin:end]))
        found, fresh = score(request, keeping), score(request, item_token_engine(ADAPTER))
        assert found.scores == pytest.approx(fresh.scores, abs=TOLERANCE)
        assert found.vector == pytest.approx(fresh.vector, abs=TOLERANCE)


def test_next_request_computes_only_new_tokens() -> None:
    """Rows of a pass: one for the last event, although it is cached, and one per candidate."""
    engine = item_token_engine()
    rows: list[int] = []
    engine._trunk.layers[0].register_forward_pre_hook(lambda module, inputs: rows.append(inputs[0].shape[1]))
    for history in (["Heat", "Alien"], ["Heat", "Alien", "Fargo"], ["Heat", "Alien", "Fargo"], ["Alien", "Fargo"]):
        score(asked(history, ["Jaws", "Dumbo"]), engine)
    instruction = len(INSTRUCTION)
    assert rows == [instruction + 2 + 2, 1 + 2, 1 + 2, 2 + 2]


def test_history_times_and_feelings_change_the_scores() -> None:
    base = asked(["Heat", "Alien"], ["Fargo", "Jaws"])
    plain = score(base).scores
    changes = [
        asked(["Heat", "Toys"], ["Fargo", "Jaws"]),
        asked(["Alien", "Heat"], ["Fargo", "Jaws"]),
        with_history(base, feeling=-1),
        with_history(base, ts=2 * 3_600_000 - 1_000),
        with_history(base, about="Action"),
        with_history(base, item="a"),
    ]
    for change in changes:
        other = score(change).scores
        assert max(abs(a - b) for a, b in zip(plain, other, strict=True)) > 10 * TOLERANCE


def test_item_is_read_once() -> None:
    engine = item_token_engine()
    read: list[str] = []
    watch(engine, read)
    engine.score([asked(["Heat", "Alien", "Heat"], ["Fargo", "Alien"])] * 2)
    engine.describe([Candidate("Fargo"), Candidate("Jaws")])
    assert sorted(read) == ["Alien", "Fargo", "Heat", "Jaws"]
    engine.clear()
    engine.describe([Candidate("Fargo")])
    assert len(read) == 5


def test_call_beyond_its_bound_leaves_texts_for_the_next() -> None:
    engine, whole = item_token_engine(max_reads=3), item_token_engine()
    read: list[str] = []
    watch(engine, read)
    request = asked(["Heat", "Alien"], ["Fargo", "Jaws"])
    first = score(request, engine)
    assert read == ["Alien", "Heat", "Fargo"]
    known = score(asked(["Heat", "Alien"], ["Fargo"]), whole)
    assert first.scores[0] == pytest.approx(known.scores[0], abs=TOLERANCE)
    # An unread candidate has the score of the average item.
    engine.clear()
    other = score(asked(["Heat", "Alien"], ["Fargo", "Dumbo"]), engine)
    assert other.scores == pytest.approx(first.scores, abs=TOLERANCE)
    second = score(request, engine)
    assert second.scores == pytest.approx(score(request, whole).scores, abs=TOLERANCE)
    # An event with an unread item is left out.
    engine.clear()
    late = score(with_times(["Heat", "Alien", "Toys", "Rocky"], (0, 0, 0, 0)), engine)
    assert read[-3:] == ["Rocky", "Toys", "Alien"]
    expected = score(with_times(["Alien", "Toys", "Rocky"], (0, 0, 0)), whole)
    assert late.vector == pytest.approx(expected.vector, abs=TOLERANCE)


def with_times(texts: list[str], seconds: tuple[int, ...]) -> ScoreRequest:
    history = tuple(Past(t, "like", feeling=1, ts=3_600_000 * s) for t, s in zip(texts, seconds, strict=True))
    return ScoreRequest(session=1, scene="default", history=history, candidates=())


def test_context_holds_only_the_newest_events() -> None:
    short = item_token_engine(max_events=2)
    whole = score(asked(["Heat", "Alien", "Fargo"], ["Jaws"]), short)
    newest = score(replace(with_times(["Alien", "Fargo"], (2, 3)), candidates=(Candidate("Jaws"),)), short)
    assert whole.vector == pytest.approx(newest.vector, abs=TOLERANCE)


def test_token_limit_splits_the_batch_into_several_passes() -> None:
    batch = [asked([f"film {i}", "Heat"], ["ab", "cd"] * 30) for i in range(6)]
    one, many = item_token_engine(), item_token_engine(max_pass_tokens=64)
    for left, right in zip(one.score(batch), many.score(batch), strict=True):
        assert answered(left).scores == pytest.approx(answered(right).scores, abs=TOLERANCE)


def test_item_cache_is_bounded() -> None:
    engine = item_token_engine(item_cache_mib=16)
    capacity = engine._items.capacity
    assert capacity == 16 * 1024 * 1024 // (4 * (32 + 13)) - 1
    assert len(engine._items) == 0


def test_refused_request_does_not_affect_others() -> None:
    good = asked(["Heat"], ["Alien"])
    answers = item_token_engine(max_candidates=2).score([good, asked([], ["a", "b", "c"]), good])
    assert isinstance(answers[1], RequestRefused)
    assert "at most 2" in str(answers[1])
    assert answered(answers[0]).scores == pytest.approx(answered(answers[2]).scores, abs=TOLERANCE)


def test_abandoned_request_is_skipped() -> None:
    engine = item_token_engine()
    read: list[str] = []
    watch(engine, read)
    batch = [asked(["Heat"], ["Alien"]), asked(["Fargo"], ["Alien"])]
    answers = engine.score(batch, skip=lambda place: place == 0)
    assert answers[0] is None
    assert answered(answers[1]).scores == pytest.approx(score(batch[1], engine).scores, abs=TOLERANCE)
    assert "Heat" not in read
    assert engine.score([]) == []


def test_describe_refuses_more_items_than_the_port_allows() -> None:
    with pytest.raises(RequestRefused, match="split the request"):
        ENGINE.describe([Candidate(str(number)) for number in range(MAX_DESCRIBED + 1)])
    assert matrix(ENGINE.describe([Candidate(str(number)) for number in range(MAX_DESCRIBED)])).shape == (
        64,
        tiny.SHAPE.width + 1 + 8,
    )
    assert ENGINE.describe([]).values == b""


def test_item_residual_moves_only_the_vector_of_its_item() -> None:
    plain, known, same = matrix(ENGINE.describe([Candidate("Heat"), Candidate("Heat", item="a"), Candidate("Heat")]))
    assert same == pytest.approx(plain, abs=TOLERANCE)
    assert np.abs(known - plain).max() > 100 * TOLERANCE


def test_version_covers_all_that_scores_depend_on() -> None:
    assert ENGINE.version == "tiny-1-r1-1-2-c2-random-0"
    assert ENGINE.describe([]).model_version == ENGINE.version


def test_warm_up_leaves_the_caches_empty() -> None:
    engine = item_token_engine()
    engine.warm_up()
    assert len(engine._items) == 0


def test_model_incompatible_with_packing_is_refused() -> None:
    model = tiny.model().model
    model.config.sliding_window = 16
    with pytest.raises(WeightsError, match="sliding window of 16"):
        ItemTokenEngine(model, tiny.ByteTokens(), tiny.adapter(), ModelSettings(), "tiny-1")


def watch(engine: ItemTokenEngine, read: list[str]) -> None:
    """Record the texts that the engine reads."""
    reader = engine._readings.reader
    whole = reader.passes

    def noting(texts, pause=None):
        read.extend(texts)
        return whole(texts, pause)

    reader.passes = noting  # type: ignore[method-assign]


def without_correction():
    bare = tiny.adapter(items=("a", "b"))
    bare.heads.correct.weight.zero_()
    return bare


def with_history(request: ScoreRequest, **changes: object) -> ScoreRequest:
    first, *rest = request.history
    return replace(request, history=(replace(first, **changes), *rest))


def test_forget_drops_the_given_sessions_or_all() -> None:
    engine = item_token_engine()
    engine.score([tiny.request(["Heat"], ["Alien"], session=session) for session in (1, 2, 3)])
    kept = engine._prefixes
    assert [kept.peek(session) is not None for session in (1, 2, 3)] == [True, True, True]
    engine.forget([2, 9])
    assert [kept.peek(session) is not None for session in (1, 2, 3)] == [True, False, True]
    engine.forget(None)
    assert (len(kept), kept.size) == (0, 0)
