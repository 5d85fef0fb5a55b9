"""The signs that an operator would see: series that rose on /metrics, pages that did not answer, lines in the logs, and
alerts of a real Prometheus."""

import asyncio
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.faults.monitor import Monitor
from tests.faults.schedule import NEED_TRITON, Kind

SCRAPE_SECONDS = 0.5

DEGRADED = r'ouzel_lists_total\{degraded="(?:unavailable|circuit_open|deadline|overloaded|invalid)"\}'
RECOVERED = "ouzel_recovery_seconds_count"
NO_ANSWER = "/healthz does not answer"
LOG_NAME, LEARNER_NAME = "training log", "learner"
LOG_NO_ANSWER, LEARNER_NO_ANSWER = f"{NO_ANSWER} ({LOG_NAME})", f"{NO_ANSWER} ({LEARNER_NAME})"
VERSIONS_IN_USE = r"Versions in use: [^\n]*"
ALERT = "alert "
STARTED_OVER = r"starting over from what is durable[^,]*"

SIGNS: Mapping[Kind, tuple[str, ...]] = {
    Kind.WORKER_KILLED: (NO_ANSWER, RECOVERED),
    Kind.WORKER_STOPPED: (NO_ANSWER, RECOVERED),
    Kind.WORKER_FROZEN: (NO_ANSWER, RECOVERED),
    Kind.WORKERS_JOIN_AND_LEAVE: (RECOVERED,),
    Kind.STATE_DAMAGED: (NO_ANSWER, "cannot be read and is rebuilt", "rebuilt the state", RECOVERED),
    Kind.DISK_FULL: (
        r'ouzel_restarted_partitions_total\{cause="disk"\}',
        "is full .No space left on device.",
        RECOVERED,
    ),
    Kind.CLOCK_STEPPED: ("ouzel_stale_triggers_total", r'ouzel_dead_letters_total\{code="future"\}'),
    Kind.BROKER_STOPPED: ("ouzel_failed_looks_total", "Unable connect to node", RECOVERED, STARTED_OVER),
    Kind.BROKER_KILLED: ("ouzel_failed_looks_total", "Unable connect to node", RECOVERED, STARTED_OVER),
    Kind.CHANGELOG_COMPACTED: (NO_ANSWER, "rebuilt the state", RECOVERED),
    Kind.POISON: (r"ouzel_dead_letters_total\{.*\}",),
    Kind.FLOOD: ("ouzel_coalesced_triggers_total", "ouzel_lag_records"),
    Kind.SCORER_SWAPPED: ("ouzel_described_items_total", DEGRADED),
    Kind.CODEC: (r"ouzel_events_total\{.*\}",),
    Kind.TRANSACTION: ("ouzel_lag_records",),
    Kind.OVERSIZED: (r'ouzel_dead_letters_total\{code="too_large"\}', "too_large"),
    Kind.RETENTION_GAP: (
        r'ouzel_lost_records_total\{topic="ouzel.events"\}',
        "were deleted before they were read",
        f"{ALERT}OuzelRecordsLost",
    ),
    Kind.BROKER_MOVED: (
        r'ouzel_unserved\{cause="brokers",.*\}',
        "ouzel_failed_looks_total",
        "No broker answers",
        "Unable connect to node",
        STARTED_OVER,
        RECOVERED,
        f"{ALERT}OuzelUnserved brokers",
    ),
    Kind.PARTITIONS_ADDED: (
        r'ouzel_unserved\{cause="partitions",.*\}',
        "must have",
        f"{ALERT}OuzelUnserved partitions",
    ),
    Kind.TOPIC_RECREATED: (
        r'ouzel_unserved\{cause="recreated",.*\}',
        "the topic was recreated",
        f"{ALERT}OuzelUnserved recreated",
    ),
    Kind.PERMISSION_REVOKED: (
        r'ouzel_unserved\{cause="permission",.*\}',
        "is not allowed to",
        f"{ALERT}OuzelUnserved permission",
    ),
    Kind.LOG_KILLED: (LOG_NO_ANSWER, r"Logging \d+ partitions"),
    Kind.PLACING_KILLED: (),
    Kind.VERSION_LOAD_KILLED: (DEGRADED,),
    Kind.VERSION_SWITCHED: (NO_ANSWER, RECOVERED, VERSIONS_IN_USE, r"ouzel_model_lists_total\{.*\}"),
    Kind.LEARNER_KILLED: (
        LEARNER_NO_ANSWER,
        r"deleted \d+ unfinished versions",
        VERSIONS_IN_USE,
        r"ouzel_learn_verdicts_total\{.*\}",
    ),
} | dict.fromkeys(
    (kind for kind in NEED_TRITON if kind.value.startswith("scorer_") and kind is not Kind.SCORER_SWAPPED), (DEGRADED,)
)
"""The series and log lines (patterns) that reveal each kind of fault."""

LOG = "log: "
MUST_TELL: Mapping[Kind, tuple[str, ...]] = {
    Kind.CODEC: (),  # these records are read like any others
    Kind.PLACING_KILLED: (),  # nothing that serves has to do with it
    Kind.VERSION_SWITCHED: ("log", "metric"),
    Kind.LEARNER_KILLED: ("log",),
    Kind.TRANSACTION: ("metric",),
    Kind.OVERSIZED: ("log", "metric"),
    Kind.RETENTION_GAP: ("log", "metric"),
    Kind.BROKER_MOVED: ("log", "metric"),
    Kind.PARTITIONS_ADDED: ("log", "metric", "alert"),
    Kind.TOPIC_RECREATED: ("log", "metric", "alert"),
    Kind.PERMISSION_REVOKED: ("log", "metric", "alert"),
}
"""The signs that some kinds require; for other kinds, any sign is enough."""


def silent(kind: Kind, signs: Collection[str], *, alerts: bool) -> list[str]:
    """The required signs of a fault that are missing; `alerts` says whether there is a Prometheus."""
    found = {"log": LOG, "metric": "ouzel_", "alert": ALERT}
    if kind not in MUST_TELL:
        return [] if signs else ["anything"]
    wanted = [how for how in MUST_TELL[kind] if alerts or how != "alert"]
    return [how for how in wanted if not any(sign.startswith(found[how]) for sign in signs)]


class Operator:
    """Scrapes the pages of the workers and of `ouzel log`, reads their logs and asks `monitor` for alerts, between two
    marks."""

    def __init__(self, monitor: Monitor | None = None) -> None:
        self.monitor = monitor
        self._alerts: set[str] = set()
        self._pages: dict[str, int] = {}
        self._logs: dict[Path, int] = {}
        self._last: dict[tuple[str, str], float] = {}
        self._rose: dict[str, float] = {}
        self._silent: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def follow(self, name: str, port: int, log: Path) -> None:
        """Follow a worker that has started, with its counters at 0."""
        self._pages[name] = port
        self._last = {key: value for key, value in self._last.items() if key[0] != name}
        self._logs.setdefault(log, 0)
        self._scrape_those()

    def leave(self, name: str) -> None:
        """Stop following a worker that was stopped on purpose."""
        self._pages.pop(name, None)
        self._scrape_those()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="operator")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self.monitor is not None:
            await asyncio.to_thread(self.monitor.stop)

    def mark(self) -> None:
        """Reset the signs."""
        self._alerts.clear()
        self._rose.clear()
        self._silent.clear()
        self._logs = {log: log.stat().st_size if log.exists() else 0 for log in self._logs}

    def signs(self, kind: Kind) -> list[str]:
        """The signs of `kind` since the mark."""
        lines = "\n".join(self._since(log, start) for log, start in self._logs.items())
        found: dict[str, None] = {}
        for sign in SIGNS[kind]:
            if sign.startswith(ALERT):
                found.update(
                    {f"{ALERT}{name}": None for name in sorted(self._alerts) if re.fullmatch(sign, ALERT + name)}
                )
            elif sign.startswith(NO_ANSWER):
                others = {LOG_NAME: LOG_NO_ANSWER, LEARNER_NAME: LEARNER_NO_ANSWER}
                silent_ones = {others.get(name, NO_ANSWER) for name in self._silent}
                found.update({sign: None} if sign in silent_ones else {})
            elif sign.startswith("ouzel_"):
                found.update(dict.fromkeys(name for name in sorted(self._rose) if re.fullmatch(sign, name)))
            else:
                found.update({f"{LOG}{match[0]}": None for match in re.finditer(sign, lines)})
        return list(found)

    async def calm(self, kind: Kind, *, seconds: float) -> None:
        """Wait until no alert for `kind` fires, so that an alert of before is no sign of the next fault. TimeoutError
        after `seconds`."""
        if self.monitor is None:
            return
        async with asyncio.timeout(seconds):
            while True:
                self._alerts.clear()
                await self.look()
                if not any(sign.startswith(ALERT) for sign in self.signs(kind)):
                    return
                await asyncio.sleep(SCRAPE_SECONDS)

    async def alarmed(self, kind: Kind, *, seconds: float) -> None:
        """Wait until an alert for `kind` fires. TimeoutError after `seconds`."""
        if self.monitor is None:
            return
        async with asyncio.timeout(seconds):
            while not any(sign.startswith(ALERT) for sign in self.signs(kind)):  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(SCRAPE_SECONDS)

    def _scrape_those(self) -> None:
        if self.monitor is not None:
            self.monitor.scrape(list(self._pages.values()))

    @staticmethod
    def _since(log: Path, start: int) -> str:
        if not log.exists():
            return ""
        with log.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    async def look(self) -> None:
        """Scrape every worker once."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            for name, port in list(self._pages.items()):
                await self._scrape(session, name, port)
            if self.monitor is not None:
                self._alerts |= await self.monitor.firing(session)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SCRAPE_SECONDS)
            await self.look()

    async def _scrape(self, session: aiohttp.ClientSession, name: str, port: int) -> None:
        try:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as reply:
                text = await reply.text()
        except (aiohttp.ClientError, TimeoutError):
            if name in self._pages:
                self._silent.add(name)
            return
        for family in text_string_to_metric_families(text):
            if not family.name.startswith("ouzel"):
                continue
            for sample in family.samples:
                if not sample.name.endswith(("_total", "_count", "_records", "_unserved")):
                    continue
                labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items() if key != "partition")
                series = f"{sample.name}{{{labels}}}" if labels else sample.name
                key = name, f"{series}{sample.labels.get('partition', '')}"
                grown = sample.value - self._last.get(key, 0.0)
                self._last[key] = sample.value
                if grown > 0:
                    self._rose[series] = self._rose.get(series, 0.0) + grown
