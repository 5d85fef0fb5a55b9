"""Conditions are logged when they begin, at intervals while they last, and when they are resolved."""

import logging

import pytest

from streams.health.board import AGAIN_SECONDS, SETTLED_SECONDS, SURVEY, Board
from streams.health.conditions import Condition

DENIED = Condition("permission", "ouzel.items", "not allowed")
FULL = Condition("disk", "ouzel.events", "the disk is full", partition=1)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def hand() -> Hand:
    return Hand()


def test_condition_is_logged_once_and_again_at_intervals(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    board = Board(hand)
    for hand.now in (0.0, 3.0, AGAIN_SECONDS - 1):
        board.found("x", [DENIED])
    assert caplog.messages == ["not allowed"]
    hand.now = AGAIN_SECONDS
    board.found("x", [DENIED])
    assert caplog.messages == ["not allowed", f"Since {AGAIN_SECONDS:.0f} s: not allowed"]


def test_resolved_condition_is_hidden_at_once_and_logged_once_it_stays_resolved(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    board = Board(hand)
    board.found("x", [DENIED])
    assert board.current() == [DENIED]
    board.found("x", [])
    assert board.current() == []
    assert board.counts() == {("ouzel.items", "permission"): 1}
    board.found("x", [DENIED])  # back at once: nothing new
    board.found("x", [])
    hand.now = SETTLED_SECONDS
    assert board.counts() == {}
    assert caplog.messages == ["not allowed", "Resolved: permission of ouzel.items"]


def test_partitions_share_a_line_about_their_topic_but_not_about_their_disk(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    board = Board(hand)
    for partition in range(3):
        board.found(f"lane {partition}", [DENIED._replace(partition=partition)])
        board.found(f"store {partition}", [FULL._replace(partition=partition)])
    assert caplog.messages == ["not allowed", *["the disk is full"] * 3]
    assert board.counts() == {("ouzel.items", "permission"): 3, ("ouzel.events", "disk"): 3}


def test_survey_text_comes_first(hand: Hand) -> None:
    board = Board(hand)
    board.found("lane 1", [DENIED])
    board.found(SURVEY, [DENIED._replace(text="User ann is not allowed to read ouzel.items")])
    assert [each.text for each in board.current()] == ["User ann is not allowed to read ouzel.items"]


def test_forgotten_condition_is_not_logged(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    board = Board(hand)
    board.found("lane 1", [FULL])
    board.forget("lane 1")
    assert board.current() == []
    assert board.counts() == {}
