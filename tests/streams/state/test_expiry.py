"""Finding expired records, step by step."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from streams.fold.attribution import Exposed, Exposure
from streams.privacy.erasure import KEPT_MS
from streams.state.expiry import Sweep
from streams.state.store import CONTEXT

DAY = 86_400_000
NOW = 1_700_000_000_000


class State:
    """Users with the time of their last event, and their open lists."""

    def __init__(self, heard_ms: dict[str, int], exposures: dict[str, Exposure] | None = None) -> None:
        self.heard_ms = heard_ms
        self.exposures = exposures or {}

    def exposure(self, user: str) -> Exposure:
        return self.exposures.get(user, Exposure())

    def set_exposure(self, user: str, exposure: Exposure) -> None:
        self.exposures[user] = exposure

    def drop_erasures(self, before_ms: int) -> None:
        self.dropped_ms = before_ms

    def forget(self, user: str) -> None:
        del self.heard_ms[user]

    def scan(self, prefix: bytes, after: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
        held = self.heard_ms if prefix == CONTEXT else dict.fromkeys(self.exposures, NOW)
        keys = sorted(prefix + user.encode() for user in held)
        return iter([(key, held[key[1:].decode()]) for key in keys if key > after][:limit])


def exposed(name: str, ago_ms: int, taken: bool = False) -> Exposed:
    return Exposed(name, NOW - ago_ms, "home", None, ("film-1",), (1.0,), taken)


def test_idle_contexts_are_deleted() -> None:
    state = State({"ann": NOW - 3 * DAY, "bob": NOW - DAY})
    forgotten, _ = Sweep(limit=10, expiry_ms=2 * DAY, window_ms=1).step(state, NOW)
    assert (forgotten, list(state.heard_ms)) == (1, ["bob"])
    assert state.dropped_ms == NOW - KEPT_MS


def test_lists_are_closed_after_their_window() -> None:
    lists = (exposed("old", 5_000), exposed("old but taken", 5_000, taken=True), exposed("young", 10))
    state = State({}, {"ann": Exposure(lists)})
    _, feedback = Sweep(limit=10, expiry_ms=DAY, window_ms=1_000).step(state, NOW)
    assert [(each.list, each.user) for each in feedback] == [("old", "ann")]
    assert [each.list for each in state.exposures["ann"].lists] == ["young"]


@given(st.integers(1, 40), st.integers(1, 7))
def test_rounds_reach_every_user(people: int, limit: int) -> None:
    """A user present when a round begins is checked within people / limit steps, and again in the next round."""
    state = State({f"person-{n:02}": NOW for n in range(people)})
    sweep = Sweep(limit=limit, expiry_ms=DAY, window_ms=1)
    steps = people // limit + 1
    for _ in range(steps):
        assert sweep.step(state, NOW) == (0, [])
    later = NOW + 2 * DAY
    assert sum(sweep.step(state, later)[0] for _ in range(2 * steps)) == people
