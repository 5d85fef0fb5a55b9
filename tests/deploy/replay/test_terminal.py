"""The board counts right, and the picture fits the terminal and says what it must."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from deploy.replay.judge import Judge
from deploy.replay.scoreboard import FOLLOWED_SECONDS, MAX_USERS, Board, Rate, Times
from deploy.replay.stats import summary, summary_table, why_without_model
from deploy.replay.terminal import Show, View, line
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.recommendations import Degraded, Reason, Recommendation, Source
from tests.deploy.replay.test_judge import MostLiked, published, rated
from tests.support.version_records import scripted

TITLES = {f"i{n}": f"Film number {n}" for n in range(20)}
# Times are counted in classes 2% wide: 120 ms is in the class of 121.
TITLES["i1"] = "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb"


def made(user: str, *items: str, ms: float = 120.0, degraded: Degraded | None = None) -> Recommendation:
    plain = published(user, *items)
    reason = Reason(code=Source.COVISITED, text="because you liked Film number 3")
    entries = tuple(msgspec.structs.replace(entry, reason=reason) for entry in plain.entries)
    return msgspec.structs.replace(plain, entries=entries, freshness_ms=ms, degraded=degraded)


def busy() -> Show:
    """Ten seconds of one person liking things, with a list after each."""
    board = Board()
    judge = Judge({"item_knn": MostLiked(), "markov": MostLiked(), "popularity": MostLiked()})
    for n in range(10):
        event = rated("user-4711", f"i{n}")
        judge.about_to_send(event)
        board.sent(event, float(n))
        answer = made(
            "user-4711", *[f"i{m}" for m in range(n + 1, n + 9)], degraded=Degraded.DEADLINE if n == 4 else None
        )
        judge.published(answer)
        board.came(answer, n + 0.1)
    letter = DeadLetter(code=Refusal.MALFORMED, detail="x", topic="ouzel.events", partition=0, offset=1, ts=1)
    board.refused(letter)
    return Show(board, judge, TITLES, "embedded broker, Triton", 90.0)


def drawn(show: Show, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(View(show, 42.0, 10.0))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("show", [busy(), Show(Board(), Judge({}), {}, "embedded broker", None)], ids=["busy", "empty"])
def test_picture_fits_the_terminal(show: Show, width: int, height: int) -> None:
    lines = drawn(show, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_picture_shows_all_figures(width: int, height: int) -> None:
    text = "\n".join(drawn(busy(), width, height))
    for wanted in (
        "00:42 / 01:30",
        "1.0/s",
        "p50 121 ms",
        "1  10.0%",
        "deadline",
        "malformed",
        "Film number 9",
        "because you liked Film number 3",
        "recommended with the model after 120 ms",
        "share of 9 tests",
        "last-item transitions",
    ):
        assert wanted in text
    assert "user-4711" not in text, "no user id is shown"
    assert ("rated 5: Film number 9" in text) == (height == 40), "the latest lists are shown where there is room"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
@pytest.mark.parametrize("show", [busy, lambda: Show(Board(), Judge({}), {}, "embedded broker", None)])
def test_picture_shows_reading_progress_and_warnings(show: Callable[[], Show], width: int, height: int) -> None:
    shown = show()
    shown.notes.reading = "412 of 1,682 films read, about 2 min left"
    text = "\n".join(drawn(shown, width, height))
    assert "412 of 1,682 films read, about 2 min left" in text
    assert "412 of 1,682 films read, about 2 min left" in line(shown, 42.0, 10.0)
    shown.notes.warning = "tritonserver was killed by signal 9: lists continue without the model"
    lines = drawn(shown, width, height)
    assert any(shown.notes.warning in each for each in lines)
    assert len(lines) <= height
    assert shown.notes.warning in line(shown, 42.0, 10.0)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60)])
def test_picture_shows_the_versions_once_there_are_any(width: int, height: int) -> None:
    show = busy()
    assert "learning" not in "\n".join(drawn(show, width, height))
    assert "version" not in line(show, 42.0, 10.0)
    show = replace(show, versions=scripted())
    lines = drawn(show, width, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "version 2 (1 promoted, 1 withdrawn)" in text
    assert "version 4, canary for 10%  +0.050" in text
    assert " in 40 likes" in text
    assert "version 3 withdrawn: -0.030 in 1,200 likes" in text
    assert "popularity" in text
    assert "live: version 2 (1 promoted, 1 withdrawn), tried: version 4, canary for 10% +0.050" in line(
        show, 42.0, 10.0
    )


def test_picture_is_complete_in_the_smallest_terminal() -> None:
    lines = drawn(busy(), 80, 24)
    assert len(lines) == 24
    assert lines[-2].startswith("│ popularity")


def test_line_for_logs_has_the_same_figures() -> None:
    text = line(busy(), 42.0, 10.0)
    assert "\n" not in text
    assert "events 10 (1.0/s)  lists 10 (1.0/s)  event to list p50 121 ms" in text
    assert "without model 1  dead letters 1" in text
    assert "Ouzel 1.000" in text


def test_summary_has_the_figures_that_were_measured() -> None:
    show = busy()
    figures = summary(show.board, show.judge.verdict(), 4.0)
    assert json.loads(json.dumps(figures)) == {
        "events": 10,
        "events_per_second": 2.5,
        "lists": 10,
        "degraded": 1,
        "degraded_by_reason": {"deadline": 1},
        "dead_letters": 1,
        "event_to_list_ms": {name: pytest.approx(120.0, rel=0.01) for name in ("p50", "p95", "p99")},
        "hit_ratio": {"ouzel": 1.0, "item_knn": 0.0, "markov": 0.0, "popularity": 0.0},
        "tests": 9,
        "likes_of_seen_items": 0,
    }
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(figures))
    assert "1 (10.0%): deadline 1" in capture.get()
    assert "10 (2.5/s)" in capture.get()
    assert "films read" not in capture.get()
    with console.capture() as capture:
        console.print(summary_table({**figures, "films_read": {"of": 1_682, "begin": 300, "end": 1_682}}))
    assert "300 / 1,682 of 1,682" in capture.get()


def test_run_without_lists_has_a_summary() -> None:
    figures = summary(Board(), Judge({"popularity": MostLiked()}).verdict(), 0.0)
    assert figures["event_to_list_ms"] == {"p50": None, "p95": None, "p99": None}
    assert figures["hit_ratio"] == {"ouzel": None, "popularity": None}
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(figures))
    assert "share of 0 tests" in capture.get()


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_percentiles_are_within_a_hundredth(values: list[float], percent: int) -> None:
    times = Times()
    for value in values:
        times.add(value)
    exact = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
    assert times.percentile(percent) == pytest.approx(exact, rel=0.0101)


def test_rate_is_over_the_last_whole_seconds() -> None:
    rate = Rate()
    assert rate.at(5.0) == 0.0
    for n in range(100):
        rate.add(10 + n / 10)
    assert rate.at(20.5) == 10.0
    assert rate.at(22.5) == 6.0
    assert rate.at(40.0) == 0.0


def test_user_is_followed_for_a_while_then_the_next_active_one() -> None:
    board = Board()
    for user in ("ann", "bob"):
        for n in range(3):
            board.history(rated(user, f"i{n}"))
        board.came(made(user, "i5", "i6"), 0.0)
    assert board.followed is None
    board.sent(rated("ann", "i6"), 1.0)
    assert board.followed is not None
    assert [(liked.item, liked.place) for liked in board.followed.likes][-1] == ("i6", 2)
    ann = board.followed
    board.sent(rated("bob", "i7"), 2.0)
    assert board.followed is ann
    board.sent(rated("bob", "i8", value=1.0), 1.0 + FOLLOWED_SECONDS)
    assert board.followed is not ann
    assert board.followed.liked == 4, "a dislike is no like"


def test_board_evicts_the_least_recently_active_user() -> None:
    board = Board()
    for n in range(MAX_USERS + 10):
        board.history(rated(f"u{n}", "i1"))
    assert len(board._users) == MAX_USERS


@pytest.mark.parametrize(
    ("reasons", "says"),
    [
        ({}, ""),
        ({"deadline": 2}, ""),
        (
            {"deadline": 7, "unavailable": 1},
            "8.0% of the lists were made without the model; the model missed",
        ),
        ({"unavailable": 7, "deadline": 1}, "tritonserver did not answer: see tritonserver.log."),
    ],
)
def test_summary_explains_lists_without_the_model(reasons: dict[str, int], says: str) -> None:
    figures = {"lists": 100, "degraded": sum(reasons.values()), "degraded_by_reason": reasons}
    told = why_without_model(figures, 1_000, Path("tritonserver.log"))
    assert says in told
    assert bool(says) == bool(told)
