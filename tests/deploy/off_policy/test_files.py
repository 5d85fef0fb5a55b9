"""Logged decisions and target probabilities are read from files of any format; nothing unusable is used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.errors import BadSource
from deploy.off_policy.decision_log import DecisionLog
from deploy.off_policy.files import read_log, read_target
from inference.off_policy.rewards import RewardModel, fit

ROWS = [
    {"request": "b", "position": 1, "item": "x", "reward": 0.0, "propensity": 0.25, "user": "ann"},
    {"request": "b", "position": 0, "item": "y", "reward": 1.0, "propensity": 0.5, "user": "ann"},
    {"request": "a", "position": 0, "item": "z", "reward": 0.0, "propensity": 1.0, "user": "bob"},
]

CELLS = ["", "1", "0", "0.5", "-1", "nan", "x", "1e400", "\u0662"]


def csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def written(folder: Path, form: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"log.{form}"
    if form == "csv":
        return csv(path, rows)
    if form == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_rows_of_a_list_are_in_the_order_of_their_positions(tmp_path: Path, form: str) -> None:
    log = read_log(written(tmp_path, form, ROWS), {}, None)
    assert log.keys == ("b", "a")
    named = [[log.names[item] if item >= 0 else "" for item in row] for row in log.items.tolist()]
    assert named == [["y", "x"], ["z", ""]]
    assert log.lists.propensities.tolist() == [[0.5, 0.25], [1.0, 1.0]]
    assert log.lists.rewards.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert log.lists.filled.tolist() == [[True, True], [True, False]]
    assert log.lists.users.tolist() == [0, 1]
    first = read_log(written(tmp_path, form, ROWS), {}, 1)
    assert first.items.shape == (2, 1)


def test_without_a_list_each_row_is_a_decision(tmp_path: Path) -> None:
    rows = [{"item_id": 3, "position": 2, "click": 1, "propensity_score": 0.5, "n": 1}]
    log = read_log(csv(tmp_path / "log.csv", rows), {}, None)
    assert (log.items.tolist(), log.positions.tolist(), log.names) == ([[0]], [[2]], ("3",))
    assert "each list counts as one user" in log.note


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"propensity": 0.0}, "no propensity above 0"),
        ({"propensity": 1.5}, "no propensity above 0"),
        ({"propensity": "nan"}, "no propensity above 0"),
        ({"reward": "inf"}, "no reward"),
        ({"reward": "high"}, "no reward"),
        ({"position": 1_000_000}, "no position"),
        ({"position": -1}, "no position"),
        ({"item": ""}, "no item"),
        ({"position": 0}, "an item or a position twice"),
        ({"item": "y"}, "an item or a position twice"),
    ],
)
def test_list_with_an_unusable_row_is_left_out_and_counted(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    log = read_log(csv(tmp_path / "log.csv", [{**ROWS[0], **change}, *ROWS[1:]]), {}, None)
    assert log.keys == ("a",)
    assert "1 left out" in log.note
    assert why in log.note


def test_files_without_decisions_are_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="--column propensity=NAME"):
        read_log(csv(tmp_path / "a.csv", [{"item": "x", "reward": 1}]), {}, None)
    with pytest.raises(BadSource, match="column reward"):
        read_log(csv(tmp_path / "b.csv", ROWS), {"reward": "joy"}, None)
    with pytest.raises(BadSource, match="no row of"):
        read_log(csv(tmp_path / "c.csv", [{**ROWS[0], "propensity": 7}]), {}, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(CELLS)] * 5), min_size=1))
def test_any_cells_are_used_or_counted(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    names = ("list", "position", "item", "reward", "propensity")
    path = csv(tmp_path / "log.csv", [dict(zip(names, row, strict=True)) for row in rows])
    try:
        log = read_log(path, {}, None)
    except BadSource as refused:
        event = str(refused)
        assert "can be used" in event or "no column" in event
        return
    assert len(log.lists) == len(log.keys) == len(set(log.keys))
    assert ((log.lists.propensities > 0) & (log.lists.propensities <= 1)).all()


def decided(tmp_path: Path) -> tuple[DecisionLog, RewardModel]:
    log = read_log(csv(tmp_path / "log.csv", ROWS), {}, None)
    return log, fit(log.lists, log.items, len(log.names), np.random.default_rng(0))


def target(tmp_path: Path, rows: list[dict[str, Any]], log: DecisionLog, model: RewardModel) -> Any:
    return read_target(csv(tmp_path / "target.csv", rows), log, model, {})


def test_target_probabilities_are_those_of_the_place_before_those_of_all(tmp_path: Path) -> None:
    log, model = decided(tmp_path)
    rows = [
        {"list": "", "position": "", "item": "x", "probability": 0.4},
        {"list": "", "position": "", "item": "y", "probability": 0.6},
        {"list": "b", "position": 1, "item": "x", "probability": 0.9},
        {"list": "b", "position": 1, "item": "q", "probability": 0.1},
    ]
    found = target(tmp_path, rows, log, model)
    assert found.chances.tolist() == [[0.6, 0.9], [0.0, 1.0]]
    assert found.added is not None
    mean = model.items[model.folds[0]][[log.names.index("x"), log.names.index("y")]] @ [0.4, 0.6]
    assert found.added[0, 0] == pytest.approx(mean)


def test_without_all_probabilities_there_is_no_reward_model(tmp_path: Path) -> None:
    log, model = decided(tmp_path)
    assert target(tmp_path, [{"item": "x", "probability": 0.4}], log, model).added is None


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{"item": "x", "probability": 1.4}], "row 1"),
        ([{"item": "x", "probability": 0.7}, {"item": "y", "probability": 0.7}], "more than 1"),
        ([{"item": "x", "probability": 0.1}, {"item": "x", "probability": 0.1}], "repeats"),
        ([{"item": "x", "position": "up", "probability": 0.1}], "no position"),
        ([{"thing": "x", "probability": 0.1}], "--column item=NAME"),
    ],
)
def test_impossible_targets_are_refused(tmp_path: Path, rows: list[dict[str, Any]], why: str) -> None:
    log, model = decided(tmp_path)
    with pytest.raises(BadSource, match=why):
        target(tmp_path, rows, log, model)
