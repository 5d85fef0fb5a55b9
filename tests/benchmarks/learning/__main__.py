"""How near learning along MovieLens-100K comes to retraining: `python -m tests.benchmarks.learning [--json FILE]`.

The start model learned the first third of the stream. From there on versions are made from one another, each live some
likes after its data ends, and every like of the last third is a test: of the versions' lists beside those of the frozen
start model, of the model that the evaluation retrains at every twentieth, and of no model.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin slow down those that work

import msgspec
import numpy as np
from msgspec import to_builtins
from msgspec.structs import replace

from deploy.datasets.dataset import Dataset, feeling, films
from deploy.learning.adapter import texts
from deploy.learning.versions import FULL, ITEMS
from deploy.local.priority import lower_priority
from inference.settings import ModelSettings, readings_of
from inference.training.histories import Histories
from inference.training.learner import Base
from inference.training.walk_forward import Floats, Readings
from inference.transformer.weights import convert
from inference.triton.repository import weights_of
from inference.versions.store import Version, VersionStore
from schemas.events import Event
from tests.benchmarks.learning import baselines
from tests.benchmarks.learning.judging import ALONE, figures, judge
from tests.benchmarks.learning.simulation import Schedule, along, learn

OURS = "learning"
DAY_MS = 86_400_000


def main() -> None:
    chosen = options()
    lower_priority(chosen.nice)
    dataset = films()
    stream = dataset.stream(0, chosen.limit)
    settings = ModelSettings.make(threads=chosen.threads)
    base = Base(weights(chosen.work), readings_of(repository(chosen.work), settings), settings)
    base.use_threads()
    readings = base.readings(texts(dataset.items), 1, 0, told)
    histories = Histories.of(stream, [item.id for item in dataset.items], feeling)
    kept = chosen.work / "benchmarks" / "learning"
    cut = histories.before(len(histories) // 3)
    start = baselines.start(base, readings, histories, cut, kept, progress=told)
    models = {}
    if chosen.retrained:
        models["retrained"] = baselines.retrained(base, readings, histories, kept, progress=told)
    models[OURS], made = learned(chosen, base, dataset, readings, histories, start, cut, kept)
    models["frozen"] = along(base, [(cut, start)], readings, histories)
    outcome = judge(
        dataset,
        spaced(stream, chosen.spacing),
        models,
        blended=chosen.blend,
        progress=lambda done, total: told("judging", done, total),
    )
    report = figures(outcome, OURS)
    report["events"] = len(stream)
    report["options"] = {name: str(value) for name, value in vars(chosen).items()}
    report["versions"] = [to_builtins(one) for one in made]
    show(report)
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def spaced(stream: Sequence[Event], spacing: int | None) -> Sequence[Event]:
    """The stream with the events after its first third `spacing` milliseconds apart, from a day after it on."""
    cut = len(stream) // 3
    if spacing is None:
        return stream
    begin = stream[cut - 1].ts + DAY_MS
    return [*stream[:cut], *(replace(each, ts=begin + spacing * at) for at, each in enumerate(stream[cut:]))]


def learned(  # noqa: PLR0917
    chosen: argparse.Namespace,
    base: Base,
    dataset: Dataset,
    readings: Floats,
    histories: Histories,
    start: Path,
    cut: int,
    kept: Path,
) -> tuple[Readings, list[Version]]:
    """What the live versions say along the stream, and the versions; made once for these options."""
    plan = schedule(chosen)
    mark = blake2b(f"{len(histories)} {plan}".encode(), digest_size=6).hexdigest()
    path, told_of = kept / f"learning-{mark}.npz", kept / f"learning-{mark}.json"
    if not told_of.exists():
        store = VersionStore(kept / f"versions-{mark}")
        shutil.rmtree(store.root, ignore_errors=True)
        live, made = learn(
            base, dataset, dataset.stream(0, chosen.limit), readings, histories, start=start, cut=cut, schedule=plan,
            store=store, progress=told,
        )  # fmt: skip
        baselines.write(path, along(base, live, readings, histories))
        told_of.write_bytes(msgspec.json.encode(made))
        shutil.rmtree(store.root, ignore_errors=True)
    return baselines.read(path), msgspec.json.decode(told_of.read_bytes(), type=list[Version])


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.learning", description=__doc__)
    add, effort = parser.add_argument, FULL.effort
    add("--limit", type=int, help="only the first events of the stream")
    add("--every", type=int, default=2_000, help="likes between full versions")
    add("--items-every", type=int, default=0, help="likes between versions of single items; 0: none")
    add("--lag", type=int, default=1_000, help="likes until a full version is live")
    add("--items-lag", type=int, default=200, help="likes until a version of single items is live")
    add("--rounds", type=int, default=effort.rounds)
    add("--tower-passes", type=int, default=effort.tower_passes)
    add("--replay", type=float, default=effort.replay)
    add("--rate", type=float, default=effort.rate)
    add("--held-out", type=float, default=FULL.held_out)
    add("--finish", action="store_true", help="learn what was held out too")
    add("--spacing", type=int, help="judge lists as if live events came N ms apart, as in a fast replay")
    add("--no-retrained", dest="retrained", action="store_false", help="do not compare with the evaluation's model")
    add("--no-blend", dest="blend", action="store_false", help="judge the models alone")
    add("--threads", type=int, default=2)
    add("--nice", type=int, default=10)
    add("--json", type=Path)
    add("--work", type=Path, default=Path(".ouzel"))
    return parser.parse_args()


def schedule(chosen: argparse.Namespace) -> Schedule:
    effort = replace(
        FULL.effort, rounds=chosen.rounds, tower_passes=chosen.tower_passes, replay=chosen.replay, rate=chosen.rate,
        finish=chosen.finish,
    )  # fmt: skip
    full = replace(FULL, effort=effort, held_out=chosen.held_out, niceness=chosen.nice)
    items = replace(ITEMS, niceness=chosen.nice)
    return Schedule(full, items, chosen.every, chosen.items_every, chosen.lag, chosen.items_lag)


def repository(work: Path) -> Path:
    return work / "models" / "repository"


def weights(work: Path) -> Path:
    return convert(weights_of(repository(work)), ModelSettings(), told)


def show(report: dict[str, Any]) -> None:
    rows = report["last_third"]
    print(f"\n{report['events']:,} events; {report['tests']:,} likes of {report['users']:,} users in the last third")
    for title, prefix in (("lists", ""), ("the model alone", ALONE)):
        names = [name for name in rows if name.startswith(ALONE) == bool(prefix)]
        if names:
            print(f"\n{title:<28}HR@10   NDCG@10   {OURS} minus it, HR@10, 95%")
        for name in sorted(names, key=lambda name: -rows[name]["hr10"]):
            against = report["against"].get(name, {}).get("hr10")
            text = f"{against['mean']:+.4f} ({against['low']:+.4f} to {against['high']:+.4f})" if against else ""
            print(f"{name.removeprefix(ALONE):<26}{rows[name]['hr10']:.4f}    {rows[name]['ndcg10']:.4f}    {text}")
    for kind in ("full", "items"):
        of = [one for one in report["versions"] if one["kind"] == kind]
        if of:
            cpu, seconds = ([one[name] for one in of] for name in ("cpu_seconds", "seconds"))
            print(
                f"\n{len(of)} {kind} versions: median {np.median(cpu):.0f} CPU s (up to {max(cpu):.0f}), "
                f"{np.median(seconds):.0f} s; peak {max(one['peak_mib'] for one in of):,.0f} MiB of the whole benchmark"
            )


_told = [0.0]


def told(label: str, done: int, total: int) -> None:
    """Progress as lines, at most one every ten seconds for each kind of work."""
    if not total or label.startswith("version") or time.monotonic() - _told[0] > 10:
        _told[0] = time.monotonic()
        print(f"{time.strftime('%X')} {label} {done:,} of {total:,}", flush=True)


if __name__ == "__main__":
    main()
