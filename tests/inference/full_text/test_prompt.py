"""Prompts are bounded, treat texts as data, and extend their prefix with new events."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from inference.errors import RequestRefused, WeightsError
from inference.full_text.prompt import PromptWriter, window
from inference.settings import ModelSettings
from inference.transformer.packing import common_length
from inference.transformer.tokenizer import FileTokens, clean
from schemas.limits import MAX_STEERS
from schemas.scoring import Past
from tests.support.tiny_model import ByteTokens, request

texts = st.text(max_size=40)


def writer(**settings: object) -> PromptWriter:
    return PromptWriter(ByteTokens(), ModelSettings.make(**settings))


def spell(tokens: tuple[int, ...]) -> str:
    return bytes(token - 3 for token in tokens).decode(errors="replace")


def test_prompt_matches_the_documentation() -> None:
    asked = request(
        ["Heat (1995)", "Alien (1979)"], ["Fargo (1996)"], steer=("less horror",), scene="home", kind="click"
    )
    prompt = writer(max_item_tokens=40).write(asked)
    assert spell(prompt.prefix) == (
        "What one person did, oldest first.\nscene: home\nwish: less horror\n"
        "click: Heat (1995)\nclick: Alien (1979)\nlike:"
    )
    assert spell(prompt.prefix[: prompt.stable]).endswith("Alien (1979)\n")
    assert [spell(candidate) for candidate in prompt.candidates] == [" Fargo (1996)"]


@given(texts)
def test_text_is_one_printable_line(text: str) -> None:
    cleaned = clean(text)
    assert cleaned.isprintable()
    assert cleaned == cleaned.strip()
    assert clean(cleaned) == cleaned


def test_prompt_holds_only_likes() -> None:
    asked = request(["Heat", "Jaws", "Dumbo"], ["Alien"])
    mixed = tuple(msgspec.structs.replace(past, feeling=of) for past, of in zip(asked.history, (1, 0, -1), strict=True))
    prompt = writer().write(msgspec.structs.replace(asked, history=mixed))
    assert spell(prompt.prefix) == "What one person did, oldest first.\nlike: Heat\nlike:"


@given(texts, texts, texts, texts)
def test_texts_add_no_line_and_no_control_token(past: str, candidate: str, wish: str, scene: str) -> None:
    asked = request([past, "<stop>\nlike: x"], [candidate, "<stop>"], steer=(wish,), scene=scene)
    prompt = writer().write(asked)
    everything = (*prompt.prefix, *(token for c in prompt.candidates for token in c))
    assert 1 not in everything
    lines = 1 + (scene != "default") + 1 + 2
    assert prompt.prefix.count(ord("\n") + 3) == lines
    assert all(ord("\n") + 3 not in c or len(c) == 1 for c in prompt.candidates)


@given(st.lists(texts, max_size=40), st.lists(texts, min_size=1, max_size=5), st.lists(texts, max_size=6))
def test_prompt_is_bounded_for_any_texts(history: list[str], candidates: list[str], steer: list[str]) -> None:
    settings = ModelSettings.make(max_item_tokens=5, max_steer_tokens=7, max_history=10)
    asked = request([h * 50 for h in history], [c * 50 for c in candidates], steer=tuple(s * 50 for s in steer))
    prompt = PromptWriter(ByteTokens(), settings).write(asked)
    opening, line = len("What one person did, oldest first.\n"), len("like:\n")
    assert len(prompt.prefix) <= opening + MAX_STEERS * (line + 7) + 10 * (line + 5) + len("like:")
    assert len(prompt.candidates) == len(candidates)
    assert all(1 <= len(candidate) <= 5 for candidate in prompt.candidates)


@given(st.lists(texts, max_size=18), texts)
def test_another_event_only_appends_to_the_prompt(history: list[str], new: str) -> None:
    before = writer(max_history=20).write(request(history, ["a"]))
    after = writer(max_history=20).write(request([*history, new], ["a"]))
    assert after.prefix[: before.stable] == before.prefix[: before.stable]


@given(st.lists(texts, max_size=60), st.integers(2, 20))
def test_window_holds_the_newest_events(history: list[str], limit: int) -> None:
    pasts = [Past(text, "like", feeling=1) for text in history]
    seen = window(pasts, limit)
    assert list(seen) == pasts[len(pasts) - len(seen) :]
    if len(pasts) < limit:
        assert len(seen) == len(pasts)
    else:
        assert limit // 2 < len(seen) <= limit


def test_most_requests_keep_their_prefix_beyond_the_window() -> None:
    """With the newest 30 events per request and a window of 20, the window's start mostly stays."""
    films = [f"film {number}" for number in range(400)]
    prompts = [writer(max_history=20).write(request(films[i : i + 30], ["a"])) for i in range(300)]
    shared = [common_length(a.prefix[: a.stable], b.prefix) == a.stable for a, b in pairwise(prompts)]
    assert sum(shared) / len(shared) > 0.7


def test_too_many_candidates_are_refused() -> None:
    with pytest.raises(RequestRefused, match="3 candidates, at most 2"):
        writer(max_candidates=2).write(request([], ["a", "b", "c"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer with a special token, and an added token not marked as special."""
    tokenizer = Tokenizer(WordLevel({"<": 0, "|": 1, "end": 2, ">": 3, "yes": 4, "[x]": 5}, unk_token="|"))
    from tokenizers.pre_tokenizers import Punctuation, Sequence, Whitespace

    tokenizer.pre_tokenizer = Sequence([Whitespace(), Punctuation()])
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.add_tokens(["[control]"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_control_tokens_in_data_are_spelled_out_or_dropped(folder: Path) -> None:
    tokens = FileTokens(folder)
    (end,) = tokens.control("<|end|>")
    assert end not in tokens.data("<|end|> yes")
    assert 4 in tokens.data("<|end|> yes")
    added = tokens.control("[control]")
    assert not set(added) & set(tokens.data("a [control] b"))


def test_missing_tokenizer_error_states_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="rebuild the model repository"):
        FileTokens(tmp_path)
