"""The report of a run: its JSON has the promised names, and its tables say what a stranger needs."""

import json

from rich.console import Console

from deploy.datasets.dataset import Dataset
from deploy.loop.companion import Learned
from deploy.loop.options import Options
from deploy.loop.passes import Passed
from deploy.loop.report import tables
from deploy.loop.run import report
from tests.deploy.loop.test_figures import EVENTS, SPLIT, row
from tests.deploy.loop.test_split import ITEMS

UNLEARNED = Learned()


def passed(name: str, places: dict[str, int], learned: Learned = UNLEARNED) -> Passed:
    return Passed(
        name=name,
        course="c",
        places=places,
        sent=40,
        lists=39,
        lost=1,
        late=2,
        foreign=0,
        given_up=1,
        without_list=0,
        degraded={"deadline": 3},
        model_versions={"m": 36, "none": 3},
        event_to_list_ms={"p50": 12.0, "p95": 20.0, "p99": 30.0},
        preparing_seconds=1.0,
        seconds=10.0,
        load=(1.0, 2.0),
        learned=learned,
    )


def made() -> dict[str, object]:
    passes = {
        "learning": passed("learning", row(0, e40=-1), Learned(versions=3, promoted=2, rolled_back=1)),
        "frozen": passed("frozen", row(-1, e41=0, e42=5)),
        "without_model": passed("without_model", row(-1, e41=0)),
    }
    rows = {name: one.places for name, one in passes.items()}
    dataset = Dataset(ITEMS, EVENTS, "Films")
    return report(Options(), dataset, SPLIT, passes, rows, {"popularity": row(-1)}, None, 60.0)


def test_json_has_the_promised_names() -> None:
    found = json.loads(json.dumps(made(), allow_nan=False))
    assert found["of"] == "learning"
    for name in ("learning", "frozen", "without_model"):
        assert {"hr10", "ndcg10"} <= set(found["last_third"][name])
    for name in ("frozen", "without_model", "popularity"):
        assert {"low", "high"} <= set(found["against"][name])
        assert {"low", "high", "mean"} <= set(found["against"][name]["ndcg10"])
    assert found["against"]["frozen"]["low"] > 0
    assert (found["versions"], found["promoted"], found["rolled_back"]) == (3, 2, 1)
    assert (found["lists_lost"], found["lists_late"]) == (1, 2)
    assert found["passes"]["frozen"]["learned"]["versions"] == 0
    assert "places" not in found["passes"]["frozen"], "no line for each like"
    assert found["machine"]["processor"]


def test_tables_fit_and_say_what_was_lost() -> None:
    console = Console(width=100)
    with console.capture() as capture:
        for part in tables(made()):
            console.print(part)
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 100
    for wanted in (
        "likes of 4 users",
        "learning leads by",
        "lists lost",
        "3 (deadline)",
        "3, 2, 1",
        "12 ms / 30 ms",
        "30-35%",
        "95-100%",
    ):
        assert wanted in text
