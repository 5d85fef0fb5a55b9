"""Refused records on real brokers: the dead letter holds exactly the bytes, and other records are processed."""

from pathlib import Path

from deploy.local.brokers import Broker
from schemas.codec import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.topics import DEAD_LETTERS
from tests.support.plane import Plane, check, traffic


def test_largest_record_of_a_topic_becomes_a_dead_letter(own_broker: Broker, tmp_path: Path) -> None:
    """A megabyte of invalid bytes, which with its origin exceeds a topic's default maximum."""
    huge = bytes(range(256)) * 3_900
    with Plane(own_broker, tmp_path) as plane:
        plane.send([*traffic(1, 50), (b"a-user", huge), *traffic(2, 50)])
        plane.start()
        check(plane)
        letters = [decode(DeadLetter, record.value) for record in plane.read(DEAD_LETTERS.name)]
        assert [letter.key for letter in letters if letter.code is Refusal.TOO_LARGE and letter.value == huge] == [
            b"a-user"
        ]
