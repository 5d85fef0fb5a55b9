"""Readers get messages in order, without repeats, by day, and learn what they read."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.events import Event
from schemas.feedback import Feedback
from schemas.topics import EVENTS, FEEDBACK
from streams.errors import LogFailed
from streams.training_log.log_files import LogFile, Part, Range, day_of
from streams.training_log.reading import DAY_MS, Days, LogReader
from streams.training_log.tables import Row, table_of
from tests.streams.training_log.world import NOW, World, event, feedback_record, record

TODAY = day_of(NOW)
TOMORROW = TODAY + timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def write(world: World, partition: int, rows: list[tuple[int, int, Event]], day: date = TODAY) -> LogFile:
    """A file with rows of offset, time and event."""
    file = LogFile(EVENTS.name, partition, rows[0][0], rows[-1][0] + 1, day)
    made = [Row(partition, offset, logged, message) for offset, logged, message in rows]
    world.files.write(file, table_of(Event, made))
    return file


def test_messages_of_all_partitions_come_in_the_order_of_their_times(world: World) -> None:
    write(world, 0, [(0, NOW, event(1)), (1, NOW + 20, event(2))])
    write(world, 1, [(5, NOW + 10, event(3)), (6, NOW + 5, event(4)), (7, NOW + 30, event(5))])
    reading = LogReader(str(world.root)).read(EVENTS.name, Event)
    assert [each.id for each in reading] == ["e-1", "e-3", "e-4", "e-2", "e-5"]
    assert reading.ranges == (Range(EVENTS.name, 0, 0, 2), Range(EVENTS.name, 1, 5, 8))


def test_ranges_say_what_was_read_so_far(world: World) -> None:
    write(world, 0, [(at, NOW, event(at)) for at in range(3)])
    write(world, 0, [(at, NOW, event(at)) for at in range(3, 6)])
    write(world, 0, [(9, NOW, event(9))])
    reading = LogReader(str(world.root)).read(EVENTS.name, Event, after={0: 2})
    rows = iter(reading)
    assert next(rows).id == "e-2"
    assert not reading.ranges
    next(rows)
    assert list(reading.ranges) == [Range(EVENTS.name, 0, 2, 3)]
    assert [each.id for each in rows] == ["e-4", "e-5", "e-9"]
    assert list(reading.ranges) == [Range(EVENTS.name, 0, 2, 6), Range(EVENTS.name, 0, 9, 10)]


def test_repeats_are_dropped_and_counted(world: World) -> None:
    write(world, 0, [(0, NOW, event(1)), (1, NOW, event(2)), (2, NOW, event(1))])
    log = LogReader(str(world.root))
    reading = log.read(EVENTS.name, Event)
    assert [each.id for each in reading] == ["e-1", "e-2"]
    assert reading.repeats == 1
    assert reading.ranges == (Range(EVENTS.name, 0, 0, 3),)
    assert [each.id for each in log.read(EVENTS.name, Event, repeats=True)] == ["e-1", "e-2", "e-1"]


def test_days_select_files(world: World) -> None:
    for at in range(4):
        write(world, 0, [(at, NOW, event(at))], TODAY + timedelta(days=at))
    log = LogReader(str(world.root))
    days = Days(TOMORROW, TOMORROW + timedelta(days=1))
    assert [each.id for each in log.read(EVENTS.name, Event, days=days)] == ["e-1", "e-2"]
    assert [each.first for each in log.files(EVENTS.name, Days.newest(2, TODAY + timedelta(days=3)))] == [2, 3]
    assert len(log.files(EVENTS.name)) == 4


@pytest.mark.parametrize(
    ("window_ms", "more"), [(0, 0), (1, 1), (1_800_000, 1), (DAY_MS, 1), (DAY_MS + 1, 2), (7 * DAY_MS, 7)]
)
def test_window_adds_the_days_on_which_feedback_may_follow(window_ms: int, more: int) -> None:
    assert Days(TODAY, TODAY).with_window(window_ms) == Days(TODAY, TODAY + timedelta(days=more))
    assert Days().with_window(window_ms) == Days()


def test_late_feedback_is_found_with_the_window(world: World) -> None:
    world.logged([feedback_record(0, "ann")], FEEDBACK.name)
    world.now += DAY_MS
    world.logged([feedback_record(1, "ann", ts=NOW, timestamp=world.now)], FEEDBACK.name)
    log, days = LogReader(str(world.root)), Days(TODAY, TODAY)
    assert [each.id for each in log.read(FEEDBACK.name, Feedback, days=days)] == ["f-0"]
    assert [each.id for each in log.read(FEEDBACK.name, Feedback, days=days.with_window(1))] == ["f-0", "f-1"]


def test_file_merged_while_it_is_read_is_continued_at_the_same_offset(world: World) -> None:
    first = write(world, 0, [(at, NOW, event(at)) for at in range(3)])
    second = write(world, 0, [(at, NOW, event(at)) for at in range(3, 6)])
    reading = LogReader(str(world.root)).read(EVENTS.name, Event)
    rows = iter(reading)
    assert next(rows).id == "e-0"
    write(world, 0, [(at, NOW, event(at)) for at in range(6)])
    for each in (first, second):
        world.files.delete(each)
    assert [each.id for each in rows] == [f"e-{at}" for at in range(1, 6)]
    assert reading.ranges == (Range(EVENTS.name, 0, 0, 6),)


def test_object_that_disappears_halfway_is_continued_at_the_same_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(world, 0, [(at, NOW, event(at)) for at in range(6)])
    log = LogReader(str(world.root))
    batches, opened = log._files.batches, []

    def interrupted(part: Part) -> Iterator[Any]:
        opened.append(part.begin)
        (whole,) = batches(part)
        yield whole.slice(0, 4) if len(opened) == 1 else whole
        if len(opened) == 1:
            raise FileNotFoundError

    monkeypatch.setattr(log._files, "batches", interrupted)
    reading = log.read(EVENTS.name, Event, repeats=True)
    assert [each.id for each in reading] == [f"e-{at}" for at in range(6)]
    assert opened == [0, 4]
    assert reading.ranges == (Range(EVENTS.name, 0, 0, 6),)


def test_file_that_expired_while_others_were_read_is_left_out(world: World) -> None:
    write(world, 0, [(0, NOW, event(0))])
    gone = write(world, 0, [(1, NOW, event(1))])
    write(world, 0, [(2, NOW, event(2))])
    reading = LogReader(str(world.root)).read(EVENTS.name, Event)
    rows = iter(reading)
    next(rows)
    world.files.delete(gone)
    assert [each.id for each in rows] == ["e-2"]
    assert reading.ranges == (Range(EVENTS.name, 0, 0, 1), Range(EVENTS.name, 0, 2, 3))


def test_damaged_file_is_reported(world: World) -> None:
    file = write(world, 0, [(0, NOW, event(0))])
    (Path(world.root) / file.path).write_bytes(b"PAR1 and nothing more")
    with pytest.raises(LogFailed, match="training log cannot be read"):
        list(LogReader(str(world.root)).read(EVENTS.name, Event))


def test_files_that_keep_disappearing_end_the_reading(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write(world, 0, [(0, NOW, event(0))])
    log = LogReader(str(world.root))

    def missing(*_: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(log._files, "batches", missing)
    with pytest.raises(LogFailed, match="disappeared"):
        list(log.read(EVENTS.name, Event))


def test_empty_log_has_no_messages(tmp_path: Path) -> None:
    reading = LogReader(str(tmp_path / "none")).read(EVENTS.name, Event)
    assert (list(reading), reading.ranges) == ([], ())


def test_records_of_the_log_are_what_the_topic_had(world: World) -> None:
    world.logged([record(0), record(1, "bob", scene="home"), record(2)])
    read = list(LogReader(str(world.root)).read(EVENTS.name, Event))
    assert read == [event(0), event(1, "bob", scene="home"), event(2)]
