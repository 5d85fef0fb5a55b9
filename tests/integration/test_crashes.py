"""Workers killed, joined by others and robbed of their disks in mid-stream: the outcome is that of no disturbance."""

import random
import time
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation
from schemas.topics import CONTEXTS, EVENTS, RECOMMENDATIONS
from tests.support.plane import Plane, check, traffic

pytestmark = pytest.mark.slow

SMALL = {"batch_max_events": 40, "commit_interval_s": 0.2, "write_interval_s": 0.0}
"""Batches so small, and written so soon, that a stream of a few thousand events has a middle."""


def kill_in_the_middle(plane: Plane, more: int) -> bool:
    """Start a worker; kill -9 it once `more` records were added to the changelog. Whether events were still to come."""
    before = len(plane.read(CONTEXTS.name))
    plane.start()
    plane.follow(CONTEXTS.name, before + more)
    plane.kill()
    return plane.held() != plane.expected().contexts


def test_kill_in_mid_stream(strong_broker: Broker, tmp_path: Path) -> None:
    """kill -9, three times: the contexts are those of an undisturbed run."""
    draw = random.Random(4)
    middles = 0
    with Plane(strong_broker, tmp_path, **SMALL) as plane:
        for seed in range(3):
            plane.send(traffic(seed, 1_500))
            middles += kill_in_the_middle(plane, draw.randrange(50, 400))
        plane.start()
        plane.send(traffic(9, 500))
        check(plane)
        assert plane.stop() == 0, plane.log()
        ends = {record.partition: record.offset + 1 for record in plane.read(EVENTS.name)}
        assert plane.committed() == ends
    assert middles >= 2, "the kills did not hit the middle of the stream: send more"


def test_kill_and_lose_the_disk(strong_broker: Broker, tmp_path: Path) -> None:
    """A worker that comes back without its state on disk rebuilds it from the changelog."""
    with Plane(strong_broker, tmp_path, **SMALL) as plane:
        plane.send(traffic(1, 2_000))
        assert kill_in_the_middle(plane, 100)
        plane.lose_state()
        plane.start()
        plane.send(traffic(2, 500))
        check(plane)


def test_second_worker_joins_and_dies(strong_broker: Broker, tmp_path: Path) -> None:
    """Partitions go to a second worker while events come in, and back when it is killed."""
    with Plane(strong_broker, tmp_path, **SMALL) as plane:
        plane.send(traffic(1, 1_000))
        plane.start("a")
        plane.follow(CONTEXTS.name, 50)
        plane.start("b")
        plane.send(traffic(2, 1_000))
        plane.wait(lambda: "ready in" in (tmp_path / "b.log").read_text(), "partitions for the second worker")
        plane.send(traffic(3, 1_000))
        check(plane)
        plane.send(traffic(4, 1_500))
        plane.kill("b")
        plane.send(traffic(5, 500))
        check(plane)
        assert plane.stop("a") == 0, plane.log()


def test_first_worker_leaves(strong_broker: Broker, tmp_path: Path) -> None:
    """A worker that is told to stop hands over in mid-stream; nothing is folded twice or lost."""
    with Plane(strong_broker, tmp_path, **SMALL) as plane:
        plane.start("a")
        plane.start("b")
        plane.wait(lambda: "ready in" in plane.log(), "partitions")
        before = len(plane.read(CONTEXTS.name))
        plane.send(traffic(1, 2_500))
        plane.follow(CONTEXTS.name, before + 60)
        assert plane.stop("a") == 0, plane.log()
        check(plane)


@pytest.mark.parametrize("own_broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
@pytest.mark.parametrize("named", [True, False])
def test_worker_with_a_static_name_restarts_without_stopping_the_other(
    own_broker: Broker, tmp_path: Path, named: bool
) -> None:
    """Static membership: it gets its partitions back, and the other serves its own throughout."""
    instances = {name: {"group_instance": f"worker-{name}"} if named else {} for name in ("a", "b")}
    other = tmp_path / "a.log"

    def served(name: str) -> int:
        return (tmp_path / f"{name}.log").read_text().count("ready in")

    with Plane(own_broker, tmp_path, **SMALL, session_timeout_s=30.0) as plane:
        plane.start("a", **instances["a"])
        plane.wait(lambda: served("a") > 0, "partitions for the first worker")
        plane.start("b", **instances["b"])
        plane.wait(lambda: served("b") > 0, "partitions for the second worker")
        plane.send(traffic(1, 1_000))
        check(plane)
        before, shared = other.read_text().count("ready in"), served("b")
        assert plane.stop("b") == 0, plane.log()
        plane.start("b", **instances["b"])
        plane.wait(lambda: served("b") >= shared + 1, "partitions for the second worker again")
        plane.send(traffic(2, 1_000))
        check(plane)
        assert (other.read_text().count("ready in") == before) is named, plane.log()


@pytest.mark.parametrize("own_broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
def test_broker_killed(own_broker: Broker, tmp_path: Path) -> None:
    """The broker is killed in mid-stream and comes back with its data, which the embedded one has not."""
    with Plane(own_broker, tmp_path, **SMALL) as plane:
        plane.send(traffic(1, 2_000))
        plane.start()
        plane.follow(CONTEXTS.name, 100)
        own_broker.kill()
        own_broker.start()
        plane.send(traffic(2, 1_000))
        check(plane)
        assert plane.stop() == 0, plane.log()


def test_every_user_has_a_list_after_a_kill(strong_broker: Broker, tmp_path: Path) -> None:
    """Every user with an event before a kill -9 gets a list for it after the restart, if not before."""
    with Plane(strong_broker, tmp_path, **SMALL, trigger_max_age_ms=600_000) as plane:
        newest: dict[str, str] = {}
        for round_ in range(2):
            live = []
            for number in range(300):
                user = f"person-{number}"
                newest[user] = f"{round_}-{number}"
                now = time.time_ns() // 1_000_000
                event = Event(id=newest[user], user=user, kind=EventKind.LIKE, ts=now, item=f"film-{number % 30}")
                live.append((user.encode(), encode(event)))
            plane.start()
            before = len(plane.read(RECOMMENDATIONS.name))
            plane.send(live)
            plane.follow(RECOMMENDATIONS.name, before + 40)
            plane.kill()
        plane.start()

        def answered() -> bool:
            lists = [decode(Recommendation, record.value) for record in plane.read(RECOMMENDATIONS.name)]
            return newest.items() <= {each.user: each.trigger for each in lists}.items()

        plane.wait(answered, "a list for everybody's newest event")
