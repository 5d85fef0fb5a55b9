"""A short run of every fuzzer, the corpus of earlier failures, and the same targets under hypothesis."""

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import contract, http
from tests.fuzz.targets import CORPUS, TARGETS, corpus


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_corpus_break_nothing(name: str) -> None:
    for value in (*TARGETS[name].seeds, *corpus(name)):
        assert TARGETS[name].tried(value)


def test_corpus_files_all_belong_to_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "file"])
@settings(deadline=None)  # a busy machine is no failure
@given(value=st.binary(max_size=300))
def test_noise_breaks_nothing(name: str, value: bytes) -> None:
    assert TARGETS[name].tried(value)


def test_fuzz_run_reaches_every_target_and_is_accepted_by_each() -> None:
    outcomes = contract.run(6_000, 5, only=contract.ALL)
    fine = ("folded", "forwarded", "stocked", "counted", "accepted", "learned", "set", "checked", "read", "mapped")
    taken = {name: sum(outcomes[f"{name}: {word}"] for word in fine) for name in TARGETS if name != "item"}
    assert all(taken.values()), taken


@pytest.mark.slow
def test_fuzz_run_against_the_pages_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    outcomes = asyncio.run(http.run(500, 1))
    assert {"200", "400", "401", "404"} <= set(outcomes)
