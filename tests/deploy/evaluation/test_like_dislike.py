"""Like or dislike from a dataset's events, and as a protocol of the command."""

import json
import random

import pytest
from click.testing import CliRunner

from deploy.cli import cli
from deploy.datasets.dataset import Dataset
from deploy.errors import BadSource
from deploy.evaluation import like_dislike
from deploy.evaluation.like_dislike import cross_validated, rated
from inference.progress import silent
from schemas.events import Event, EventKind
from schemas.items import Item


def said(n: int, user: str, item: str, value: float | None = None, kind: EventKind = EventKind.RATE) -> Event:
    return Event(id=f"e{n}", user=user, item=item, kind=kind, value=value, ts=1_600_000_000_000 + 60_000 * n)


def shop(events: list[Event]) -> Dataset:
    return Dataset(
        tuple(Item(id=f"i{n}", title=f"Item {n}", attributes=(f"kind {n % 2}",)) for n in range(20)), tuple(events), ""
    )


def test_ratings_are_what_events_say_and_the_last_one_counts():
    events = [said(0, "ann", "i3", 1.0), said(1, "ann", "i3", 5.0), said(2, "bob", "i1", 3.0)]
    events += [said(3, "bob", "i3", kind=EventKind.VIEW), said(4, "cyd", "i1", kind=EventKind.DISLIKE)]
    found, repeated = rated(shop(events), events)
    assert repeated == 1
    assert found.value.tolist() == [2.0, 0.0, -2.0]
    assert (found.users, found.items) == (3, 2)
    assert found.item.tolist() == [1, 0, 0]
    assert found.seconds[0] == 1_600_000_060.0


def test_too_few_dislikes_and_too_many_pairs_are_refused(monkeypatch):
    events = [said(n, f"u{n % 30}", f"i{n % 20}", 5.0) for n in range(400)]
    with pytest.raises(BadSource, match="dislikes"):
        cross_validated(shop(events), events, processes=1, progress=silent)
    monkeypatch.setattr(like_dislike, "FEWEST", 0)
    monkeypatch.setattr(like_dislike, "MAX_CELLS", 100)
    with pytest.raises(BadSource, match="--limit"):
        cross_validated(shop(events), events, processes=1, progress=silent)


def test_command_reports_like_or_dislike_alone(tmp_path):
    draw = random.Random(0)
    rows = ["user_id,item_id,rating,timestamp"]
    for user in range(40):
        for item in draw.sample(range(20), 14):
            right = draw.random() < 0.85
            rows.append(
                f"u{user},i{item},{5 if (user % 2 == item % 2) == right else 1},{1_600_000_000 + 60 * len(rows)}"
            )
    (tmp_path / "ratings.csv").write_text("\n".join(rows) + "\n")
    wanted = ["evaluate", "--events", str(tmp_path / "ratings.csv"), "--protocols", "like_dislike", "--processes", "1"]
    outputs = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    done = CliRunner().invoke(cli, [*wanted, *outputs], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "r.json").read_text())
    found = report["like_dislike"]
    assert report["protocols"] == {}
    assert found["likes"] + found["dislikes"] == 560
    assert found["methods"]["classifier"]["auc"]["mean"] > 0.7 > found["methods"]["item_mean"]["auc"]["mean"]
    screen = " ".join(done.output.split())
    assert f"{found['methods']['classifier']['accuracy']['mean']:.4f}" in screen
    assert "each rating predicted from the user's ratings in the other folds" in screen
    assert "…" not in done.output
    assert f"{found['methods']['factorization']['auc']['mean']:.4f}" in (tmp_path / "r.html").read_text()


def test_command_does_not_ignore_esasrec_without_models():
    done = CliRunner().invoke(cli, ["evaluate", "--without-model", "--esasrec"], catch_exceptions=False)
    assert done.exit_code == 2
    assert "--no-scorer" in done.output
