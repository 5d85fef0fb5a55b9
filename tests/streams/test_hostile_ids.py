"""Hostile ids on a real broker: one with the digest of another, and more than can be counted."""

import time
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.recommendations import Recommendation
from schemas.topics import ITEMS, NEIGHBOURS, RECOMMENDATIONS
from streams.agents.neighbours import MARKER
from tests.streams.fold.test_marking import FORGED, RIVAL
from tests.support.plane import NOW_MS, Plane, counts_of
from tests.support.topics import Sent

pytestmark = pytest.mark.slow


def published(*names: str) -> list[Sent]:
    return [(name.encode(), encode(Item(id=name, title=f"The film {name[:20]}"))) for name in names]


def viewed(number: int, user: str, item: str, ts: int) -> Sent:
    return user.encode(), encode(Event(id=f"v{number}", user=user, kind=EventKind.VIEW, ts=ts, item=item))


def lists(plane: Plane) -> dict[str, set[str]]:
    """The items on the last list for each event."""
    made = [decode(Recommendation, record.value) for record in plane.read(RECOMMENDATIONS.name)]
    return {each.trigger: {entry.item for entry in each.entries} for each in made}


def test_user_who_saw_a_forged_item_is_shown_its_rival(strong_broker: Broker, tmp_path: Path) -> None:
    """Also after the worker has lost its disk and another has joined."""
    with Plane(strong_broker, tmp_path, trigger_max_age_ms=600_000, exploration="0") as plane:
        plane.send(published(RIVAL, FORGED, "other"), ITEMS.name)
        plane.start()
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [3.0], "the catalogue")
        plane.send([viewed(0, "ann", FORGED, time.time_ns() // 1_000_000)])
        plane.wait(lambda: "v0" in lists(plane), "a list")
        assert lists(plane)["v0"] == {RIVAL, "other"}
        plane.kill()
        plane.lose_state()
        plane.start()
        plane.start("b")
        plane.wait(lambda: all("ready in" in (tmp_path / f"{name}.log").read_text() for name in "ab"), "both workers")
        plane.send([viewed(1, "ann", "other", time.time_ns() // 1_000_000)])
        plane.wait(lambda: "v1" in lists(plane), "a list")
        assert lists(plane)["v1"] == {RIVAL}


def counted(plane: Plane) -> dict[str, bool]:
    """The ids with a record on `ouzel.neighbours`, once it is compacted."""
    last = {
        record.key.decode(): record.value
        for record in plane.read(NEIGHBOURS.name)
        if record.key is not None and not record.key.startswith(MARKER)
    }
    return {item: True for item, value in last.items() if value is not None}


def test_invented_ids_are_evicted_and_real_items_stay(strong_broker: Broker, tmp_path: Path) -> None:
    room, invented = 1_000, 3_000
    items = [f"film-{number}" for number in range(30)]
    with Plane(strong_broker, tmp_path, unknown_items=room) as plane:
        plane.send(published(*items[:20]), ITEMS.name)
        plane.send([viewed(n, f"u{n}", each, NOW_MS) for n, each in enumerate(items)])
        plane.send([viewed(100 + n, f"w{n}", each, NOW_MS) for n, each in enumerate(items)])
        plane.start()
        plane.wait(lambda: counted(plane).keys() == {*items}, "the first events counted")
        plane.send([viewed(1_000 + n, f"eve-{n % 50}", f"invented-{n}", NOW_MS + n) for n in range(invented)])
        evictions = invented + 10 - room
        plane.wait(lambda: plane.series("ouzel_evicted_items_total") >= [evictions], "the others evicted")
        plane.wait(lambda: len(counted(plane)) == room + 20, "evicted ids cleared")
        assert counted(plane).keys() >= {*items}, "no id with more events was evicted"
        assert plane.series("ouzel_unknown_items") == [room]
        assert "OUZEL_UNKNOWN_ITEMS" in plane.log()

        late = "film-late"
        plane.send(published(late, *items[20:]), ITEMS.name)
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [31.0], "the new items")
        plane.wait(lambda: plane.series("ouzel_unknown_items") == [room - 10], "ids that became items")
        assert plane.stop() == 0, plane.log()
        plane.lose_state()
        plane.start()
        plane.wait(lambda: plane.series("ouzel_catalogue_items") == [31.0], "the catalogue again")
        plane.send([viewed(200 + n, f"x{n}", each, NOW_MS) for n, each in enumerate(items)])
        plane.wait(
            lambda: (
                {each: count for each, count in counts_of(plane.read(NEIGHBOURS.name)).items() if each in items}
                == dict.fromkeys(items, 3)
            ),
            "all events of the items counted",
        )
