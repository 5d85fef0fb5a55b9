"""`ouzel loop`: the real stream through the real pipeline, once for each way of serving, judged on the same likes.

The passes differ only in the model: `frozen` serves the start model to the end, `without_model` serves none. Each pass
has a fresh broker, fresh workers and the stream from its beginning (`deploy.loop.passes`).
"""

import asyncio
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
from rich.console import Console

from deploy.datasets.dataset import Dataset, films
from deploy.errors import StartFailed, expected
from deploy.local import build_model as building
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.environment import CHILDREN
from deploy.local.learner import start_learner
from deploy.local.processes import Child
from deploy.local.progress import told_by_bars
from deploy.local.stack import Stage, claimed
from deploy.local.steps import Step, Steps
from deploy.loop import offline, start_model
from deploy.loop.companion import Alone, Companion
from deploy.loop.figures import against, along, last_third
from deploy.loop.learning import LOG, VERSIONS, Learning, keep
from deploy.loop.options import WITH_MODEL, Options
from deploy.loop.passes import Course, Pass, Passed
from deploy.loop.report import LIVE, tables
from deploy.loop.split import Split, split
from deploy.replay.watch import on_signals
from inference.progress import Progress
from inference.versions.store import VersionStore
from schemas.items import Item
from schemas.shown import shown
from streams.log_lines import LogLines
from streams.settings import Settings

POLL_SECONDS = 0.25
Offline = Callable[[Split, tuple[Item, ...], int, Progress], dict[str, dict[str, int]]]
"""Judges methods on the tests of a split of these items: the places by method and test. The number is a seed."""

BROKERS = {"embedded": EmbeddedBroker, "kafka": KafkaBroker}


def run(options: Options, console: Console) -> int:
    """Run the passes and print the report; the exit status: 0, 130 after Ctrl-C, 1 after a failure, which is printed.

    Leaves no process behind in any case. Raises `DeployError` if it cannot start.
    """
    return asyncio.run(_run(options, console))


async def _run(options: Options, console: Console) -> int:
    with claimed(options.work / "loop" / "run") as folder:
        if not logging.root.handlers:
            logging.basicConfig(filename=folder / "loop.log", level=logging.WARNING)
            logging.root.handlers[0].setFormatter(LogLines(logging.BASIC_FORMAT))
        task = asyncio.current_task()
        assert task is not None
        with on_signals(task.cancel):
            try:
                report = await Loop(options, console, folder).perform()
            except asyncio.CancelledError:
                console.print("stopped; finished passes are stored, and --reuse takes them")
                return 130
            except Exception as error:
                sentence = expected(error)
                if sentence is None:
                    raise
                console.print(f"ouzel: {shown(sentence)}", style="red", markup=False, highlight=False, soft_wrap=True)
                return 1
    for part in tables(report):
        console.print(part)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        console.print(f"written to {options.json}", style="grey58")
    return 0


class Loop:
    """One run of all passes."""

    def __init__(self, options: Options, console: Console, folder: Path) -> None:
        self._options, self._console, self._folder = options, console, folder
        self._stored = options.work / "loop" / "passes"
        self._dataset: Dataset = films()
        events = self._dataset.stream(options.seed, options.limit)
        self._split: Split = split(events, self._dataset.items, options.start)

    async def perform(self) -> dict[str, Any]:
        """Make the passes and return the report. Raises `DeployError`."""
        began = time.monotonic()
        options = self._options
        start: start_model.Start | None = None
        name = ""
        if any(WITH_MODEL[one] for one in options.passes):
            name = start_model.digest(self._dataset, options.seed, options.limit, options.start)
            start = await self._start_model(options.work / "loop" / "start" / name)
        course = Course(
            split=self._split,
            items=self._dataset.items,
            start=str((options.work / "loop" / "start" / name).resolve()) if name else "",
            dtype=start.dtype if start else "",
            in_flight=options.in_flight,
            window=options.window,
            workers=options.workers,
            settings={"exploration": "0", "new_item_share": "0", "compared_users": Settings().lists.compared_users},
        )
        passes: dict[str, Passed] = {}
        for number, one in enumerate(options.passes, start=1):
            self._console.print(f"Pass {number} of {len(options.passes)}: {one}", style="bold")
            passes[one] = await self._pass(one, course, start)
        rows = {one: passed.places for one, passed in passes.items()}
        sent = self._split.sent(passes[_of(rows)].seconds, Settings().lists.trigger_max_age_ms)
        offline_rows = await self._offline(offline.baselines, sent)
        if options.retrained:
            judged = partial(offline.retrained, work=options.work, processes=options.processes)
            offline_rows |= await self._offline(judged, sent)
        return report(options, self._dataset, self._split, passes, rows, offline_rows, start, time.monotonic() - began)

    async def _offline(self, judge: Offline, sent: Split) -> dict[str, dict[str, int]]:
        """The places of the tests under other methods. Ends within moments if the run is cancelled."""
        stopped = Event()
        with told_by_bars() as progress:

            def told(label: str, done: int, total: int) -> None:
                if stopped.is_set():
                    raise asyncio.CancelledError
                progress(label, done, total)

            try:
                return await asyncio.to_thread(judge, sent, self._dataset.items, self._options.seed, told)
            finally:
                stopped.set()

    async def _pass(self, name: str, course: Course, start: start_model.Start | None) -> Passed:
        mark = _mark(name, course, self._options)
        stored = self._stored / f"{name}.json"
        if self._options.reuse and (found := _read(stored)) is not None and found.course == mark:
            self._console.print(f"stored before: {stored}", highlight=False)
            return found
        learns = name == "learning"
        store = VersionStore(self._folder / name / VERSIONS)

        async def start_learning(stage: Stage, step: Step) -> None:
            await start_learner(stage, step, store, self._options.rules)

        companion: Companion = Learning(start_learning, store, ahead=self._options.ahead) if learns else Alone()
        made = Pass(name, course, companion, with_model=WITH_MODEL[name], learns=learns)
        models = self._options.work / "models"
        with Steps(self._console) as steps:
            passed = await made.perform(self._folder / name, models, BROKERS[self._options.broker], steps)
        if learns:
            kept = self._options.work / "loop" / name
            keep(self._folder / name, kept)
            self._console.print(
                f"which versions learned from an event: ouzel lineage USER EVENT --versions {kept / VERSIONS} "
                f"--log {kept / LOG}",
                highlight=False,
                soft_wrap=True,
            )
        passed = msgspec.structs.replace(passed, course=mark)
        self._stored.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(msgspec.json.encode(passed))
        return passed

    async def _start_model(self, folder: Path) -> start_model.Start:
        """Train the start model, unless it is there. Raises `StartFailed`."""
        options = self._options
        with Steps(self._console) as steps, steps.step("start model") as step:
            if (found := start_model.read(folder)) is not None:
                step.say(f"trained before: {folder.name}")
                return found
            given = [folder, options.work, options.seed, options.limit or 0, options.start]
            command = [sys.executable, "-m", "deploy.loop.start_model", *map(str, given)]
            folder.parent.mkdir(parents=True, exist_ok=True)
            log = self._folder / "start.log"
            with Child("The training of the start model", command, log=log, env=CHILDREN) as child:
                while child.running():
                    if (said := building.parse(child.tail(1))) is not None:
                        step.say(*said)
                    await asyncio.sleep(POLL_SECONDS)
                if child.returncode != 0 or (found := start_model.read(folder)) is None:
                    raise StartFailed(f"the start model was not trained. The last lines of {log}:\n{child.tail()}")
            step.say(f"trained: {folder.name}")
            return found


def report(  # noqa: PLR0917
    options: Options,
    dataset: Dataset,
    split: Split,
    passes: Mapping[str, Passed],
    rows: Mapping[str, Mapping[str, int]],
    offline_rows: Mapping[str, Mapping[str, int]],
    start: start_model.Start | None,
    seconds: float,
) -> dict[str, Any]:
    """All figures, as plain data."""
    of = _of(rows)
    every = {**rows, **offline_rows}
    ours = passes[of]
    lists = Settings().lists
    return {
        "data": dataset.note,
        "events": len(split.events),
        "items": len(dataset.items),
        "history": split.start,
        "last_third_from": split.last,
        "likes": split.likes,
        "left_out": dict(split.left_out),
        "tests": len(split.tests),
        "judged": len(split.judged),
        "users": len({split.events[at].user for at in split.judged}),
        "of": of,
        "last_third": last_third(split, every),
        "against": against(split, rows[of], {name: row for name, row in every.items() if name != of}),
        "along": along(split, every),
        "versions": ours.learned.versions,
        "promoted": ours.learned.promoted,
        "rolled_back": ours.learned.rolled_back,
        "lists_lost": ours.lost,
        "lists_late": ours.late,
        "passes": {
            name: {key: value for key, value in msgspec.to_builtins(passed).items() if key not in ("places", "name")}
            for name, passed in passes.items()
        },
        "start_model": None if start is None else msgspec.to_builtins(start),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "seconds": round(seconds, 1),
        "settings": {
            "seed": options.seed,
            "start": options.start,
            "in_flight": options.in_flight,
            "window": options.window,
            "workers": options.workers,
            "broker": options.broker,
            "exploration": 0.0,
            "deadline_ms": lists.deadline_ms,
        },
        "notes": {
            "lists": "Exploration is off, and so are places for new items; a list is due after "
            f"{lists.deadline_ms:,} ms, as by default",
            "order": f"A user's next event is sent once the list for the one before came; at most {options.in_flight} "
            f"users wait at a time, and no event goes more than {options.window} events before its turn",
            "time": "Live events carry the time at which they are sent, so that workers take them as new: months pass "
            "in minutes, and what decays with time hardly does",
            "intervals": "95%, bootstrap over users; a lead is taken on the same likes",
            "offline": "Offline methods learn and rank without delay, with everything up to each like, in the times of "
            f"the pass {of}",
        },
    }


def _of(passes: Iterable[str]) -> str:
    """The pass that the others are compared with: learning, if it was made."""
    made = set(passes)
    return next(name for name in LIVE if name in made)


def processor() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _mark(name: str, course: Course, options: Options) -> str:
    """A digest of everything that the result of a pass depends on, but for the code."""
    whole = blake2b(digest_size=8)
    for event in course.split.events:
        whole.update(f"{event.id} ".encode())
    model = (Path(course.start).name, course.dtype) if WITH_MODEL[name] else ()
    settings = sorted(course.settings.items())
    rest: tuple[object, ...] = (
        name,
        course.split.start,
        model,
        course.in_flight,
        course.window,
        course.workers,
        settings,
        options.broker,
    )
    rest += (options.ahead, options.rules) if name == "learning" else ()
    whole.update(repr(rest).encode())
    return whole.hexdigest()


def _read(stored: Path) -> Passed | None:
    try:
        return msgspec.json.decode(stored.read_bytes(), type=Passed)
    except (OSError, msgspec.DecodeError):
        return None
