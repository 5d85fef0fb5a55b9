"""Names say what is logged, and each offset is read once, however ranges overlap."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.training_log.log_files import (
    LogFile,
    Range,
    Size,
    Stored,
    covered,
    day_of,
    joined,
    select,
    to_merge,
)

TODAY = date(2026, 11, 27)
DAYS = st.dates(date(1970, 1, 1), date(9999, 12, 31))
OFFSETS = st.integers(0, 2**63 - 2)


def file(first: int, behind: int, partition: int = 0, day: date = TODAY) -> LogFile:
    return LogFile("ouzel.events", partition, first, behind, day)


@st.composite
def overlapping(draw: st.DrawFn) -> list[LogFile]:
    """Files of two partitions with short ranges that overlap, repeat, enclose each other and leave gaps."""
    made = []
    for _ in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 40))
        day = TODAY - timedelta(days=draw(st.integers(0, 1)))
        made.append(file(first, first + draw(st.integers(1, 12)), draw(st.integers(0, 1)), day))
    return made


@given(st.from_regex(r"[a-zA-Z0-9._-]{1,40}", fullmatch=True), st.integers(0, 2**31 - 1), OFFSETS, OFFSETS, DAYS)
def test_name_says_everything(topic: str, partition: int, one: int, other: int, day: date) -> None:
    made = LogFile(topic, partition, min(one, other), max(one, other) + 1, day)
    assert LogFile.of(f"bucket/root/{made.path}") == LogFile.of(made.path) == made


@given(st.lists(st.tuples(OFFSETS, OFFSETS).map(sorted), min_size=2, max_size=5))
def test_names_sort_as_their_offsets(ranges: list[list[int]]) -> None:
    files = [file(first, behind) for first, behind in ranges]
    assert sorted(files) == sorted(files, key=lambda each: each.name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "ouzel.events/day=2026-11-27/.tmp-1",
        "ouzel.events/day=2026-11-27/part-0.parquet",
        f"ouzel.events/day=2026-11-31/{file(1, 2).name}",
        f"ouzel.events/{file(1, 2).name}",
        f"ouzel.feedback/day=2026-11-27/{file(1, 2).name}",
        f"ouzel.events/day=2026-11-27/{file(2, 1).name}",
        f"ouzel.events/day=2026-11-27/{file(1, 2).name.replace('-0-', '-00-')}",
        f"ouzel.events/day=2026-11-27/{file(1, 2).name}.bak",
    ],
)
def test_other_files_are_not_the_logs(path: str) -> None:
    assert LogFile.of(path) is None
    assert LogFile.of(file(1, 2).path) is not None


@given(overlapping())
def test_each_offset_is_selected_once_and_in_order(files: list[LogFile]) -> None:
    read: dict[int, list[int]] = {0: [], 1: []}
    for part in select(files):
        assert part.file.first <= part.begin < part.file.behind
        read[part.file.partition] += range(part.begin, part.file.behind)
    for partition, offsets in read.items():
        logged = {at for each in files if each.partition == partition for at in range(each.first, each.behind)}
        assert offsets == sorted(logged)


@given(overlapping())
def test_partition_continues_behind_its_last_offset(files: list[LogFile]) -> None:
    for partition, behind in covered(files).items():
        assert behind == max(each.behind for each in files if each.partition == partition)
    assert covered([]) == {}


@given(overlapping())
def test_joined_ranges_hold_the_same_offsets_with_gaps_between(files: list[LogFile]) -> None:
    ranges = joined(Range(each.topic, each.partition, each.first, each.behind) for each in files)
    for partition in (0, 1):
        mine = [each for each in ranges if each.partition == partition]
        assert {at for each in mine for at in range(each.first, each.behind)} == {
            at for each in files if each.partition == partition for at in range(each.first, each.behind)
        }
        assert all(one.behind < other.first for one, other in pairwise(mine))


@given(overlapping(), st.integers(2, 5), st.integers(1, 30))
def test_merged_files_are_adjacent_of_one_day_and_bounded(files: list[LogFile], least: int, most: int) -> None:
    stored = [Stored(each, 100, 0) for each in files if each.partition == 0]
    for group in to_merge(stored, today=TODAY, least=least, most=Size(500, most)):
        inside = sorted(each.file for each in group)
        assert len({each.day for each in inside}) == 1
        assert len(group) > 1
        assert len(group) <= 5
        assert len(group) >= least or inside[0].day < TODAY
        offsets = {at for each in inside for at in range(each.first, each.behind)}
        assert len(offsets) == max(each.behind for each in inside) - inside[0].first <= most


def test_row_is_rewritten_a_logarithmic_number_of_times() -> None:
    files: list[Stored] = []
    rewritten = 0
    for number in range(1_000):
        files.append(Stored(file(number, number + 1), 10, 0))
        for group in to_merge(files, today=TODAY, least=16, most=Size(1 << 20, 1 << 20)):
            inside = [each.file for each in group]
            size = sum(each.size for each in group)
            rewritten += size
            whole = file(min(each.first for each in inside), max(each.behind for each in inside))
            files = [each for each in files if each not in group] + [Stored(whole, size, 0)]
    assert len(files) < 32
    assert rewritten / 10_000 < 7


@pytest.mark.parametrize(
    ("ms", "day"),
    [
        (0, date(1970, 1, 1)),
        (86_399_999, date(1970, 1, 1)),
        (86_400_000, date(1970, 1, 2)),
        (2**62, date.max),
        (-(2**62), date.min),
    ],
)
def test_day_is_that_of_the_time_in_utc(ms: int, day: date) -> None:
    assert day_of(ms) == day
