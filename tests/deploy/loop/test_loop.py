"""`ouzel loop` as it is typed, on the beginning of the stream: both passes with real components, and the report."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import parts

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow, pytest.mark.timeout(2_400)]

PATIENCE = 1_200.0
"""Seconds for a run on a slow machine; the model may have to be built."""

MODELS = Path(__file__).parents[3] / ".ouzel" / "models"
EVENTS = 600

Loop = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Runs loops one after the other in one folder, with the models of this checkout, if it has any."""
    parts.need_triton()
    folder = tmp_path_factory.mktemp("loop")
    (folder / ".ouzel" / "models").mkdir(parents=True)
    MODELS.mkdir(parents=True, exist_ok=True)
    for name in ("repository", "readings", "environment"):
        (MODELS / name).mkdir(exist_ok=True)
        (folder / ".ouzel" / "models" / name).symlink_to(MODELS / name)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "deploy.cli", "loop", "--limit", str(EVENTS), "--json", "report.json"]
        command += ["--passes", "frozen,without_model"]  # learning needs more likes than these
        return subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    run.folder = folder  # type: ignore[attr-defined]
    return run


def report_of(loop: Loop) -> Any:
    return json.loads((loop.folder / "report.json").read_text())  # type: ignore[attr-defined]


def test_loop_judges_frozen_and_model_free_lists_on_the_same_likes(loop: Loop) -> None:
    done = loop()
    assert done.returncode == 0, done.stdout + done.stderr
    report = report_of(loop)
    assert (report["events"], report["history"], report["last_third_from"]) == (EVENTS, EVENTS // 3, EVENTS * 2 // 3)
    assert set(report["last_third"]) == {"frozen", "without_model", "popularity", "markov", "item_knn"}
    for figures in report["last_third"].values():
        assert figures["tests"] == report["judged"] > 20
        assert 0 <= figures["ndcg10"] <= figures["hr10"] <= 1
    assert report["of"] == "frozen"
    lead = report["against"]["without_model"]
    assert lead["tests"] == report["judged"]
    ours, other = (report["last_third"][name]["hr10"] for name in ("frozen", "without_model"))
    assert lead["mean"] == pytest.approx(ours - other)
    assert lead["low"] is None or lead["low"] <= lead["mean"] <= lead["high"]
    assert report["lists_lost"] == 0
    assert (report["versions"], report["promoted"], report["rolled_back"]) == (0, 0, 0)
    for one in report["passes"].values():
        assert one["sent"] == one["lists"] == EVENTS - EVENTS // 3
        assert (one["lost"], one["foreign"], one["given_up"], one["without_list"]) == (0, 0, 0, 0)
        assert one["seconds"] > 0
    assert report["passes"]["without_model"]["degraded"] == {"disabled": EVENTS - EVENTS // 3}
    frozen = report["passes"]["frozen"]
    assert set(frozen["model_versions"]) - {"none"}, "the model made lists"
    assert frozen["model_versions"].get("none", 0) == sum(frozen["degraded"].values())
    assert report["tests"] + sum(report["left_out"].values()) == report["likes"]
    assert sum(report["along"]["tests"]) == report["tests"]
    assert "no model" in done.stdout
    assert "lists lost" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_stored_passes_are_taken_again(loop: Loop) -> None:
    before = report_of(loop)
    done = loop("--reuse")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("stored before") == 2
    after = report_of(loop)
    assert after["passes"] == before["passes"]
    assert after["last_third"] == before["last_third"]
    again = loop("--reuse", "--window", "100", "--passes", "without_model")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "stored before" not in again.stdout, "another course"


def test_unknown_pass_is_refused(loop: Loop) -> None:
    done = loop("--passes", "frozen,thawed")
    assert done.returncode == 2
    assert "--passes takes one or more of learning, frozen, without_model" in done.stderr
