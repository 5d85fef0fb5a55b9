"""The sentence about an entry says what the causes say, and nothing else."""

import re

import numpy as np
import pytest

from schemas.events import EventKind
from streams.fold.context import Interaction
from streams.ranking.causes import Causes
from streams.wording.causes import named, sentence
from streams.wording.language import languages

TITLES = {"a": "Alien", "b": "Fargo\u202e{x}"}


def causes(*adds: float, places: tuple[int, ...] = (), place: int = 3) -> Causes:
    events = tuple(
        Interaction("ab"[at % 2], EventKind.LIKE if at % 2 else EventKind.PURCHASE, 1000 - at, at)
        for at in range(len(adds))
    )
    return Causes(
        events=events,
        score=np.array([1.5]),
        place=np.array([place]),
        adds=np.array(adds, np.float64).reshape(-1, 1),
        place_without=np.array(places or [place] * len(adds), np.int64).reshape(-1, 1),
    )


def said(found: Causes, language: str = "en") -> str:
    return sentence(found, 0, TITLES.__getitem__, languages()[language])


def test_event_that_raises_the_score_most_is_named_with_its_numbers() -> None:
    found = causes(0.1, 0.4249, -0.9, places=(4, 1_014, 1))
    assert named(found, 0) == 1
    assert said(found) == (
        "Of your last 3 events, your like of “Fargo\\u202e{x}” counts most for this: without it, the score would be "
        "lower by 0.42, and the place by score 1,014 instead of 3."
    )
    assert re.findall(r"[\d,.]*\d", said(found, "zh")) == ["3", "202", "0.42", "1,014", "3"]
    assert "“Fargo\\u202e{x}”" in said(found, "zh")


@pytest.mark.parametrize("language", languages())
def test_place_that_stays_is_said_to_stay(language: str) -> None:
    assert re.findall(r"[\d.]*\d", said(causes(0.3, 0.1), language)) == ["2", "0.30", "3"]


def test_event_that_is_the_only_one_is_not_called_one_of_many() -> None:
    assert said(causes(0.2)) == (
        "This follows from your purchase of “Alien”: without it, the score would be lower by 0.20, and the place by "
        "score still 3."
    )


@pytest.mark.parametrize("language", languages())
def test_event_that_raises_nothing_is_not_named(language: str) -> None:
    for found in (causes(-0.2, 0.0), causes(0.004, 0.001)):
        assert named(found, 0) is None
        assert not any(title in said(found, language) for title in ("Alien", "Fargo"))
    assert said(causes(), language)
