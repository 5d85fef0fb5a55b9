"""What the model adds by the amount of data: `python -m tests.benchmarks.contribution [films|books] [--sizes N,N]`.

For each number N, the protocol of `ouzel evaluate` along the stream runs on the first N events, with every like after
the warm-up as a test. Prints HR@10 of popularity, item-kNN, the model alone, and Ouzel's lists without and with it;
their paired difference with its 95% interval over users; and of users with up to two likes, popularity and both lists.

`films` is MovieLens-100K, `books` a simulated shop (`tests.support.simulated_books`); `--events` reads a file. With
`--starts packaged,none` each size is run twice. Needs what `ouzel triton build` makes in `.ouzel/models`. 2,000 events
take a minute or two on two cores, and time grows with the events; results are printed and stored as they come.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin slow down those that work
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from deploy.commands.options import WORK
from deploy.datasets.dataset import Dataset, films, from_files
from deploy.evaluation.evaluate import Options, evaluate
from deploy.evaluation.jobs import PREQUENTIAL
from deploy.evaluation.learners import learner
from deploy.evaluation.live_ranking import WITH, WITHOUT
from deploy.learning.start import to_judge
from deploy.local.progress import told_by_bars
from inference.settings import ModelSettings
from inference.transformer.weights import name_of
from tests.support.simulated_books import simulated

SIZES = (2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
NEWCOMERS = "0-2"
FEW = "popularity / without / with, users with 0-2 likes"
METHODS = ("popularity", "item_knn", "scorer", WITHOUT, WITH)


def main() -> None:
    chosen = options()
    dataset = data(chosen)
    settings = ModelSettings.make(dtype=chosen.dtype, threads=chosen.threads)
    base = name_of(settings.source)
    rows = []
    print(dataset.note)
    heads = ("events", "users", "tests", "start", "popularity", "item-kNN", "model", "without", "with", "gain", FEW)
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for size in sizes(chosen.sizes, len(dataset.events)):
        for start in chosen.starts.split(","):
            adapter, note = to_judge(None if start == "auto" else start, dataset, base)
            wanted = Options(
                chosen.seeds,
                (PREQUENTIAL,),
                chosen.processes,
                size,
                sasrec=False,
                start=note,
                share=1.0,
                parts=chosen.parts,
            )
            with told_by_bars(by_label=True) as progress:
                made = learner(dataset.items, chosen.work, progress, start=adapter, settings=settings)
                report = evaluate(dataset, wanted, learner=made, progress=progress)
            begun = "none" if adapter is None else "packaged" if start == "auto" else start
            rows.append({"start": begun, **row(report)})
            print(line(rows[-1]), flush=True)
            if chosen.json:
                chosen.json.write_text(json.dumps({"data": dataset.note, "rows": rows}, indent=2) + "\n")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What the model adds by the amount of data.")
    parser.add_argument("data", nargs="?", choices=("films", "books"), default="films")
    parser.add_argument("--events", type=Path, help="read events from a file instead, as `ouzel evaluate` does")
    parser.add_argument("--items", type=Path, help="their catalogue")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of events, comma-separated")
    parser.add_argument("--starts", default="auto", help="auto, packaged, none or a folder; several, comma-separated")
    parser.add_argument("--seeds", type=int, default=1, help="orders of ties")
    parser.add_argument("--parts", type=int, default=20, help="the model is trained at the end of each but the last")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="auto, bf16 or fp32")
    parser.add_argument("--threads", type=int, default=0, help="threads of the training; 0: the number of cores")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the language model")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    return parser.parse_args()


def data(chosen: argparse.Namespace) -> Dataset:
    if chosen.events is not None:
        return from_files(chosen.events, chosen.items)
    return films() if chosen.data == "films" else simulated()


def sizes(asked: str, events: int) -> Iterator[int]:
    """The sizes that there is data for; of larger ones, all events once."""
    wanted = sorted({int(size) for size in asked.split(",")})
    yield from (size for size in wanted if size < events)
    if wanted[-1] >= events:
        yield events


def row(report: dict[str, Any]) -> dict[str, Any]:
    found = report["protocols"][PREQUENTIAL]
    newcomers = found["by_history"][NEWCOMERS]
    return {
        "events": report["events"],
        "users": report["people"],
        "tests": found["tests"][0],
        "hr10": {name: found["methods"][name]["hr10"]["mean"] for name in METHODS},
        "gain": found["against"][WITHOUT],
        "newcomers": {name: newcomers[name] for name in METHODS},
        "minutes": report["minutes"],
    }


def line(row: dict[str, Any]) -> str:
    gain = row["gain"]
    interval = "no interval" if gain["low"] is None else f"{gain['low']:+.3f} to {gain['high']:+.3f}"
    few = {name: row["newcomers"][name]["hr10"] for name in ("popularity", WITHOUT, WITH)}
    cells = [
        f"{row['events']:,}",
        f"{row['users']:,}",
        f"{row['tests']:,}",
        row["start"],
        *(f"{row['hr10'][name]:.3f}" for name in METHODS),
        f"{gain['mean']:+.3f} ({interval})",
        " / ".join(f"{value:.3f}" for value in few.values()) + f" ({row['newcomers'][WITH]['tests']:,} tests)",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
