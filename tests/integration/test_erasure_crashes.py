"""Erasure orders survive kills: each runs at its offset, once, with a receipt, and no erased user comes back."""

import random
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.topics import CONTEXTS, EVENTS, PRIVACY, PRIVACY_RECEIPTS
from tests.support.plane import NOW_MS, Expected, Plane, check, person, traffic
from tests.support.topics import Sent

pytestmark = pytest.mark.slow

SMALL = {"batch_max_events": 40, "commit_interval_s": 0.2}


def erased_people(number: int) -> list[str]:
    return [person(number * 12 + each) for each in range(12)]


def orders(number: int) -> list[Sent]:
    made = [ErasureOrder(id=f"o-{number}-{user}", user=user, ts=NOW_MS) for user in erased_people(number)]
    return [(order.user.encode(), encode(order)) for order in made]


def mixed(seed: int, count: int, draw: random.Random) -> list[Sent]:
    """Traffic with orders in the middle of it, as a producer of events may send them, some of them twice."""
    records = traffic(seed, count)
    for number in range(30):
        event = Event(id=f"d-{seed}-{number // 2}", user=person(number), kind=EventKind.ERASE, ts=NOW_MS)
        for _ in range(draw.choice((1, 2))):
            records.insert(draw.randrange(len(records)), (event.user.encode(), encode(event)))
    return records


def test_kills_in_the_middle_of_erasing(strong_broker: Broker, tmp_path: Path) -> None:
    """kill -9, three times, while users are erased in both ways and return with new events."""
    draw = random.Random(7)
    with Plane(strong_broker, tmp_path, **SMALL) as plane:
        for seed in range(3):
            plane.send(mixed(seed, 600, draw))
            plane.send(orders(seed), PRIVACY.name)
            before = len(plane.read(CONTEXTS.name))
            plane.start()
            plane.follow(CONTEXTS.name, before + draw.randrange(20, 250))
            plane.kill()
        plane.start()
        sent = {decode(ErasureOrder, record.value).id for record in plane.read(PRIVACY.name)}
        plane.wait(lambda: forwarded(plane) >= sent, "every order among the events")
        check(plane)
        expected = plane.expected()

        def receipts() -> list[ErasureReceipt]:
            return [decode(ErasureReceipt, record.value) for record in plane.read(PRIVACY_RECEIPTS.name)]

        plane.wait(
            lambda: {(each.order, each.user) for each in receipts()} == set(expected.orders),
            "a receipt for every order",
        )
        for each in receipts():
            assert (each.partition, each.offset) == expected.orders[each.order, each.user]
        assert any("context@" in part for each in receipts() for part in each.cleared)
        assert plane.stop() == 0, plane.log()
        gone = {user for _, user in expected.orders} - set(expected.contexts)
        assert gone, "every erased user returned: send fewer events after the orders"
        held = b"".join(path.read_bytes() for path in plane.state_of().rglob("*") if path.is_file())
        assert not [user for user in gone if b"c" + user.encode() in held]


def forwarded(plane: Plane) -> set[str]:
    return {order for order, _ in Expected(plane.read(EVENTS.name)).orders}
