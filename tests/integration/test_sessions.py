"""`ouzel forget` drops the model's cached contexts of the user, no matter which worker made their lists: one that was
killed since, one that lost its disk, or another one."""

import base64
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from aiokafka.partitioner import murmur2

from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.privacy import ErasureReceipt
from schemas.recommendations import Recommendation
from schemas.topics import CONTEXTS, ITEMS, PRIVACY_RECEIPTS, RECOMMENDATIONS
from streams.privacy.sessions import PREFIX
from streams.state.records import decode_value
from streams.state.store import SESSIONS
from tests.support.patience import PATIENCE
from tests.support.pipeline import click, films
from tests.support.plane import Plane

pytestmark = pytest.mark.slow

PARTITIONS = 4

MODEL = """
import sys
from inference.scorers.scripted import ScriptedScorer
from streams.worker import run

class Noting(ScriptedScorer):
    async def score(self, request, *, timeout, number=None):
        self.note(f"read {request.session}")
        return await super().score(request, timeout=timeout)

    async def forget(self, sessions, *, timeout):
        await super().forget(sessions, timeout=timeout)
        for session in ["all"] if sessions is None else sessions:
            self.note(f"drop {session}")

    def note(self, line):
        with open(sys.argv[1], "a") as file:
            file.write(line + "\\n")

sys.exit(run(lambda settings: Noting()))
"""
"""A worker with a model that notes, in a file that all workers share, whom it reads and whom it drops."""


def neighbours(count: int) -> list[str]:
    """Names of people who live in the same partition."""
    names = (f"person-{number}" for number in range(1_000))
    return [name for name in names if (murmur2(name.encode()) & 0x7FFFFFFF) % PARTITIONS == 0][:count]


class Kept:
    """What the model keeps, by what it noted."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch()

    @property
    def notes(self) -> list[str]:
        return self._file.read_text().splitlines()

    @property
    def sessions(self) -> set[int]:
        kept: set[int] = set()
        for note in self.notes:
            what, _, session = note.partition(" ")
            if what == "read":
                kept.add(int(session))
            elif session == "all":
                kept.clear()
            else:
                kept.discard(int(session))
        return kept


class Shop:
    """Workers, people who click, and the model."""

    def __init__(self, plane: Plane, model: Path) -> None:
        self.plane = plane
        self.kept = Kept(model)
        self.command = [sys.executable, "-c", MODEL, str(model)]
        self.clicks = 0
        plane.send([(item.id.encode(), encode(item)) for item in films()], ITEMS.name)

    def start(self, name: str, **settings: object) -> None:
        self.plane.start(name, command=self.command, **settings).wait_ready()

    def visit(self, user: str) -> int:
        """Click, and wait for the list; the session that the model read for it."""
        before = len(self.kept.notes)
        self.clicks += 1
        event = click(user, f"film-{self.clicks}", self.clicks)
        self.plane.send([(user.encode(), encode(event))])

        def listed() -> bool:
            made = [decode(Recommendation, each.value) for each in self.plane.read(RECOMMENDATIONS.name)]
            return any(one.trigger == event.id and one.model_version for one in made)

        self.plane.wait(listed, f"a list of {user}'s")
        (session,) = {note for note in self.kept.notes[before:] if note.startswith("read")}
        return int(session.partition(" ")[2])

    def forget(self, user: str) -> ErasureReceipt:
        command = [sys.executable, "-m", "deploy.cli", "forget", "-", "--brokers", self.plane.bootstrap]
        done = subprocess.run(command, input=user, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr + self.plane.log()
        return msgspec.json.decode(done.stdout, type=ErasureReceipt)


def test_owner_of_the_partition_makes_the_model_drop_its_cache(strong_broker: Broker, tmp_path: Path) -> None:
    first, restarted, lost, taken_over, plain, stays = people = neighbours(6)
    with Plane(strong_broker, tmp_path) as plane:
        shop = Shop(plane, tmp_path / "model")
        shop.start("a")
        sessions = {user: shop.visit(user) for user in people}
        assert shop.kept.sessions == set(sessions.values())
        # The model's cache from before the partition had a secret is unknown: it drops everything, once.
        assert PREFIX not in shop.forget(first).remains
        assert shop.kept.sessions == set()
        others = people[1:]
        assert [shop.visit(user) for user in others] == [sessions[user] for user in others]

        plane.kill("a")
        shop.start("a")
        assert PREFIX not in shop.forget(restarted).remains
        assert shop.kept.sessions == {sessions[user] for user in (lost, taken_over, plain, stays)}

        plane.kill("a")
        plane.lose_state("a")
        shop.start("a")
        assert PREFIX not in shop.forget(lost).remains
        assert shop.kept.sessions == {sessions[user] for user in (taken_over, plain, stays)}

        shop.start("b")
        plane.kill("a")
        assert PREFIX not in shop.forget(taken_over).remains
        assert shop.kept.sessions == {sessions[user] for user in (plain, stays)}
        assert shop.visit(stays) == sessions[stays]

        # A worker that asks no model cannot have anything dropped, and says so.
        plane.stop("b")
        plane.start("c", duties="contexts")
        erase = Event(id="erase-plain", user=plain, kind=EventKind.ERASE, ts=time.time_ns() // 1_000_000)
        plane.send([(plain.encode(), encode(erase))])
        plane.wait(lambda: bool(receipts(plane, "erase-plain")), "a receipt")
        (receipt,) = receipts(plane, "erase-plain")
        assert PREFIX in receipt.remains

        secrets = {
            decode_value(record.key, record.value).secret
            for record in plane.read(CONTEXTS.name)
            if record.value is not None and (record.key or b"")[:1] == SESSIONS
        }
        assert len(secrets) == PARTITIONS
        told = "".join(path.read_text() for path in tmp_path.glob("*.log")) + plane.workers["c"].page("/metrics")
        for secret in secrets:
            for form in (secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]):
                assert form not in told


def receipts(plane: Plane, order: str) -> list[ErasureReceipt]:
    found = [decode(ErasureReceipt, each.value) for each in plane.read(PRIVACY_RECEIPTS.name)]
    return [one for one in found if one.order == order]
