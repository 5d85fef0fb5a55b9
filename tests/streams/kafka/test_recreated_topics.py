"""A recreated topic is distinguished from the one that a state follows, and reading continues at the right offset."""

from dataclasses import dataclass
from typing import Any

import pytest

from streams.errors import TopicRecreated
from streams.kafka.recreated_topics import EventsTopic, Range, Rebased, followed, start_at

OLD, NEW = b"o" * 16, b"n" * 16


def follow(
    held: EventsTopic | None, now: bytes, *, high: int, end: int, rewound: bool = False, take: bool = False
) -> Any:
    return followed(held, now, partition=3, high=high, end=end, rewound=rewound, take=take)


@pytest.mark.parametrize(
    ("held", "now", "high", "end"),
    [
        (None, NEW, -1, 0),  # a fresh state
        (None, OLD, 8, 9),  # a state from before ids were noted
        (EventsTopic(OLD), OLD, 8, 3),  # an end offset that a broker states too low
        (EventsTopic(b""), b"", 8, 9),  # a broker without ids
    ],
)
def test_unchanged_topic_is_followed(held: EventsTopic | None, now: bytes, high: int, end: int) -> None:
    assert follow(held, now, high=high, end=end) == EventsTopic(now)


@pytest.mark.parametrize(
    ("held", "now", "end", "rewound"),
    [
        (EventsTopic(OLD), NEW, 3, False),
        (EventsTopic(OLD), NEW, 5_000, False),  # already longer than the old one was
        (None, NEW, 8, False),
        (EventsTopic(b""), b"", 8, False),
        (EventsTopic(OLD), OLD, 9, True),  # records are missing at its end
    ],
)
def test_recreated_topic_is_refused_unless_allowed(
    held: EventsTopic | None, now: bytes, end: int, rewound: bool
) -> None:
    with pytest.raises(TopicRecreated, match=r"Partition 3 of ouzel\.events .* OUZEL_RECREATED_EVENTS=continue"):
        follow(held, now, high=8, end=end, rewound=rewound)
    assert follow(held, now, high=8, end=end, rewound=rewound, take=True) == EventsTopic(now, 9)


def test_topic_recreated_again_continues_after_the_first() -> None:
    held = EventsTopic(OLD, 9)
    assert follow(held, OLD, high=20, end=12) == held
    assert follow(held, NEW, high=20, end=1, take=True) == EventsTopic(NEW, 21)


@pytest.mark.parametrize(
    ("committed", "at_least", "high", "first", "start"),
    [
        (None, -1, -1, 0, (0, 0)),
        (None, -1, -1, 50, (50, 0)),  # a new group reads the existing records
        (7, -1, 6, 0, (7, 0)),
        (7, 9, 6, 0, (9, 0)),
        (3, -1, 2, 13, (13, 10)),  # ten are deleted
        (3, -1, 9, 13, (13, 3)),  # seven of those are folded, and only wait for their lists
        (None, -1, 6, 13, (13, 6)),  # the group's offset is lost too; the state has it
    ],
)
def test_reading_continues_at_the_right_offset_and_counts_losses(
    committed: int | None, at_least: int, high: int, first: int, start: tuple[int, int]
) -> None:
    assert start_at(committed, at_least, high, first) == start


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes = b"ann"
    value: bytes = b"{}"


class Topic:
    """A partition of three records."""

    def __init__(self) -> None:
        self.at = 0

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        return [Record(offset) for offset in range(self.at, 3)]

    async def committed(self, partition: int) -> int | None:
        return 2

    async def available(self, partition: int) -> Range:
        return Range(0, 3)

    async def seek(self, partition: int, offset: int) -> None:
        self.at = offset

    def end_offset(self, partition: int) -> int | None:
        return 3

    def past(self, partition: int) -> int:
        return 0

    async def behind(self, partition: int, at_least: int) -> int:
        return 0


async def test_offsets_of_a_recreated_topic_continue_after_the_old_ones() -> None:
    source = Rebased(Topic(), 100)
    assert await source.available(0) == Range(100, 103)
    assert await source.committed(0) == 102
    assert source.end_offset(0) == 103
    await source.seek(0, 101)
    records = await source.fetch(0, 10, 0.0)
    assert [(each.offset, each.key, each.value) for each in records] == [(101, b"ann", b"{}"), (102, b"ann", b"{}")]
