"""Reading sentences with a tiny random model: what must hold of any model."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import RequestRefused
from inference.steering.examples import PAIRS
from inference.steering.interpreter import LEAST, MAX_CLAUSES, Interpreter, clauses, shares, together
from schemas.scoring import MAX_NAMES
from tests.support.tiny_model import ByteTokens, model


def interpreter() -> Interpreter:
    made = model()
    return Interpreter(made.model, made.get_output_embeddings(), ByteTokens())


@cache
def shared() -> Interpreter:
    """One that has learned already: a sentence leaves nothing behind but the likelihood of names."""
    return interpreter()


NAMES = ("Horror", "Comedy", "Film-Noir")


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=280))
def test_any_sentence_has_a_strength_for_each_name(sentence: str) -> None:
    found = shared().interpret(sentence, NAMES)
    assert len(found) == len(NAMES)
    assert all(-1 <= strength <= 1 for strength in found)


def test_reading_does_not_depend_on_earlier_sentences() -> None:
    used = interpreter()
    for sentence in ("more of this", "less, but not none", "that"):
        used.interpret(sentence, NAMES[::-1])
    assert used.interpret("less of that", NAMES) == pytest.approx(
        interpreter().interpret("less of that", NAMES), abs=1e-4
    )


def test_pause_is_called_in_each_layer_and_its_exception_ends_the_pass() -> None:
    pauses: list[int] = []
    read = interpreter()
    read.interpret("more", NAMES, lambda: pauses.append(1))
    assert len(pauses) > 4

    def stop() -> None:
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        read.interpret("less", NAMES, stop)


def test_sentence_with_too_many_names_is_refused() -> None:
    with pytest.raises(RequestRefused, match="send those that fit best"):
        shared().interpret("more", ["a"] * (MAX_NAMES + 1))
    assert shared().interpret("more", []) == ()
    assert shared().interpret("...", ["a"]) == (0.0,)


def test_clauses_end_at_punctuation_and_at_but() -> None:
    assert clauses("more comedy, less drama") == ["more comedy", "less drama"]
    assert clauses("like Fargo but newer") == ["like Fargo", "newer"]
    assert clauses("butter, please!") == ["butter", "please"]
    assert clauses("\x00;\n,") == []
    assert len(clauses("a,b,c,d,e,f")) == MAX_CLAUSES


def test_clauses_about_nothing_belong_to_the_one_before() -> None:
    found = ["dramas", "no thanks", "comedies", "yes", "please"]
    assert together(found, [True, False, True, False, False]) == [
        ("dramas, no thanks", 0),
        ("comedies, yes, please", 2),
    ]
    assert together(["well", "comedies"], [False, True]) == [("well, comedies", 1)]
    assert together(["well"], [False]) == []
    assert together([], []) == []


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=40))
def test_shares_are_probabilities_beside_none(gained: list[float]) -> None:
    found = shares(np.array(gained))
    assert 0 <= found.sum() <= 1 + 1e-9
    assert ((found == 0) | (found >= LEAST)).all()


def test_shares_are_none_where_a_clause_adds_little_to_every_name() -> None:
    assert not shares(np.array([0.5, 1.0])).any()
    assert shares(np.array([9.0, 1.0]))[0] > 0.99


def test_pairs_ask_for_more_and_less_in_different_sentences() -> None:
    every = [sentence for pair in PAIRS for sentence in pair]
    assert len(set(every)) == len(every)
