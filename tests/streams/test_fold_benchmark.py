"""The parts of the benchmark: its events, its plain job, and its measures of a state and of a process."""

import os
from typing import Any

import msgspec

from schemas.codec import decode_event
from streams.fold.context import EMPTY, digest, fold
from streams.state.store import seal
from tests.benchmarks.fold import load as loads
from tests.benchmarks.fold.contestants import ALL
from tests.benchmarks.fold.job import State, decode
from tests.benchmarks.fold.job import fold as plain
from tests.benchmarks.fold.measuring import cpu_seconds, peak_mib, tree
from tests.benchmarks.fold.running import expected, state_digest

LOAD = loads.make(3_000, people=40, items=60, partitions=4)


def test_events_match_their_description() -> None:
    records = [record for partition in LOAD.rest for record in partition]
    assert len(records) == LOAD.events == 3_000
    assert all(loads.partition_of(key, 4) == number for number, part in enumerate(LOAD.rest) for key, _ in part)
    assert {part[-1][0].decode() for part in LOAD.rest} == LOAD.users
    assert {part[0][0].decode() for part in LOAD.warm} == LOAD.first
    assert loads.make(3_000, 40, 60, 4) == LOAD
    _, accepted = expected(LOAD)
    assert 3_004 * 0.95 < accepted < 3_004, "some are repeats, and most are not"


def test_plain_job_and_fold_reach_the_same_state() -> None:
    """All contestants keep the same state of a user, in whatever form."""
    ouzel, quix = (next(each for each in ALL if each.name == name) for name in ("ouzel", "quix"))
    contexts: dict[Any, Any] = {}
    states: dict[Any, Any] = {}
    for number, partition in enumerate(LOAD.rest):
        for offset, (key, value) in enumerate(LOAD.warm[number] + partition):
            event = decode_event(value, key=key, now_ms=loads.LONG_AGO_MS)
            contexts[event.user] = fold(contexts.get(event.user, EMPTY), event, offset)
            plain(states.setdefault(event.user, State(event.user)), decode(value))
    ours = [
        (user, *ouzel.common(seal(0, 0, msgspec.msgpack.encode(context)))[1:]) for user, context in contexts.items()
    ]
    theirs = [quix.common(msgspec.msgpack.encode(state)) for state in states.values()]
    assert state_digest(ours) == state_digest(theirs) == expected(LOAD)[0]
    assert len({digest(user) for user in contexts}) == len(contexts) > 40


def test_digest_differs_for_a_different_state() -> None:
    states = [("ann", [1], [("film-1", "view", 5)], 1)]
    assert state_digest(states) != state_digest([("ann", [1], [("film-1", "view", 6)], 1)])


def test_process_is_measured() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        sum(range(100_000))
    assert os.getpid() in tree(os.getpid())
    assert peak_mib(os.getpid()) > 5
