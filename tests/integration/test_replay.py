"""Anybody's files through a worker on any brokers, watched: lists come out, and the summary judges them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from tests.support.pipeline import Pipeline, films

pytestmark = pytest.mark.kafka

PEOPLE, EACH = 4, 9


async def test_watched_replay_of_files_shows_and_judges_the_lists(own_broker: Broker, tmp_path: Path) -> None:
    items = ["movieId,title,genres", *(f'{film.id},"{film.title}",{"|".join(film.attributes)}' for film in films())]
    (tmp_path / "items.csv").write_text("\n".join(items))
    rows = [f"p{n % PEOPLE},film-{(7 * n) % 40},{880_000_000 + n},5" for n in range(PEOPLE * EACH)]
    (tmp_path / "events.csv").write_text("\n".join(["userId,movieId,timestamp,rating", *rows]))
    summary = tmp_path / "summary.json"
    with Pipeline(own_broker, tmp_path, triton="") as path:
        await path.prepare()
        path.start()
        command = [
            *(sys.executable, "-m", "deploy.cli", "replay", "--brokers", own_broker.bootstrap),
            *("--items", str(tmp_path / "items.csv"), "--events", str(tmp_path / "events.csv")),
            *("--history", "0.5", "--speed", "10", "--watch", "--json", str(summary)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)  # noqa: ASYNC221
        assert done.returncode == 0, done.stderr
        assert "Ouzel" in done.stdout
        assert f"40 items, {PEOPLE * EACH // 2} past events and {PEOPLE * EACH // 2} live events" in done.stdout
        figures = json.loads(summary.read_text())
    assert figures["events"] == PEOPLE * EACH // 2
    assert figures["dead_letters"] == 0
    assert 0 < figures["lists"] == figures["degraded"]  # there is no model in this one
    assert figures["tests"] > 0
    assert set(figures["hit_ratio"]) == {"ouzel", "popularity", "markov", "item_knn"}
    assert figures["event_to_list_ms"]["p50"] > 0
