"""`python -m tests.benchmarks.contribution` on a small world: which sizes it runs, and what a row says."""

import re
from pathlib import Path

import pytest

from deploy.datasets.dataset import from_files
from deploy.evaluation.evaluate import Options, asked, evaluate, worth
from deploy.evaluation.jobs import PREQUENTIAL
from deploy.evaluation.live_ranking import WITH, WITHOUT
from inference.evaluation.runner import Asked, Outcome
from tests.benchmarks.contribution import line, row, sizes
from tests.deploy.evaluation.test_evaluate import EVENTS, ITEMS
from tests.support import synthetic


def test_sizes_end_with_the_data() -> None:
    assert list(sizes("2000,5000,10000", 100_000)) == [2_000, 5_000, 10_000]
    assert list(sizes("10000,2000,50000", 10_261)) == [2_000, 10_000, 10_261]
    assert list(sizes("5000", 5_000)) == [5_000]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory):
    dataset = from_files(*synthetic.write(tmp_path_factory.mktemp("shelf")), EVENTS, ITEMS)
    options = Options(1, (PREQUENTIAL,), 1, 800, sasrec=False, start="It starts untrained.", share=1.0, parts=5)
    return evaluate(dataset, options, learner=synthetic.CountingLearner())


def test_every_like_is_a_test_and_the_report_says_what_the_scorer_starts_from(report) -> None:
    found = report["protocols"][PREQUENTIAL]
    assert found["left_out"]["not_drawn"] == [0]
    assert found["tests"][0] == found["likes"][0] - found["left_out"]["warm_up"][0] - found["left_out"]["seen"][0]
    assert "the first 100%" in found["rule"]
    assert found["notes"]["start"] == "It starts untrained."


def test_row_has_the_gain_with_its_interval(report, tmp_path: Path) -> None:
    made = {"start": "none", **row(report)}
    assert made["gain"]["mean"] == pytest.approx(made["hr10"]["ouzel"] - made["hr10"]["ouzel_without_model"])
    cells = [cell.strip() for cell in line(made).strip("|").split("|")]
    assert cells[0] == "800"
    assert cells[3] == "none"
    assert f"{made['gain']['mean']:+.3f} (" in cells[9]
    assert cells[10].endswith(f"({made['newcomers']['ouzel']['tests']:,} tests)")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "gain in HR@10 is +0.0200 (+0.0100 to +0.0300)$"),
        (-0.03, -0.01, "lists are better without it, and cost less$"),
        (-0.01, 0.01, "cannot be told from none: on this data lists without it may be as good, and cost less$"),
        (None, None, "without an interval$"),
    ],
)
def test_report_says_whether_the_model_is_worth_asking(low: float | None, high: float | None, said: str) -> None:
    mean = 0.0 if low is None or high is None else (low + high) / 2
    assert re.search(
        said.replace("+", r"\+").replace("(", r"\(").replace(")", r"\)"),
        worth({"low": low, "high": high, "mean": mean}),
    )


def test_note_on_the_model_comes_first(report) -> None:
    notes = report["protocols"][PREQUENTIAL]["notes"]
    assert next(iter(notes)) == "model"
    gain = worth(report["protocols"][PREQUENTIAL]["against"]["ouzel_without_model"])
    tests = report["protocols"][PREQUENTIAL]["tests"][0]
    assert notes["model"] == f"{gain}; after {tests:,} such likes a worker still asks it"


@pytest.mark.parametrize(("listed", "without", "said"), [(12, 3, "no longer"), (3, 12, "still"), (3, 3, "still")])
def test_report_says_whether_a_worker_would_ask_the_model(listed: int, without: int, said: str) -> None:
    outcome = Outcome(tests=[Asked(at, "u", 0, 9) for at in range(400)])
    outcome.places = {WITH: [listed, -1] * 200, WITHOUT: [without, -1] * 200}
    assert f"worker {said} asks it" in asked(outcome)
