"""Finding expired records in small steps: idle contexts, and lists whose window is over. Pure.

A step checks a bounded number of records and stops early when its turn is over, so that it never holds up a batch.
After the last record it begins again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from schemas.feedback import Feedback
from streams.fold.attribution import Exposure, close
from streams.privacy.erasure import KEPT_MS
from streams.state.store import CONTEXT, EXPOSURE


class Swept(Protocol):
    """What a sweep needs of a partition's state."""

    def exposure(self, user: str) -> Exposure: ...
    def set_exposure(self, user: str, exposure: Exposure) -> None: ...
    def forget(self, user: str) -> None: ...
    def drop_erasures(self, before_ms: int) -> None: ...
    def scan(self, prefix: bytes, after: bytes, limit: int) -> Iterator[tuple[bytes, int]]: ...


@dataclass
class Sweep:
    """The positions of both rounds. A step checks `limit` records of each kind."""

    limit: int
    expiry_ms: int
    window_ms: int
    _people: bytes = b""
    _lists: bytes = b""

    def step(self, state: Swept, now_ms: int, over: Callable[[], bool] = lambda: False) -> tuple[int, list[Feedback]]:
        """Check the next records; returns the number of deleted contexts, and feedback for lists without a reaction.

        Once the turn is `over`, each of the two rounds checks one more record. The changes are put into `state`; the
        caller seals them behind the publishing of the feedback.
        """
        state.drop_erasures(now_ms - KEPT_MS)
        return self._forget(state, now_ms, over), self._close(state, now_ms, over)

    def _forget(self, state: Swept, now_ms: int, over: Callable[[], bool]) -> int:
        seen = state.scan(CONTEXT, self._people, self.limit)
        forgotten, self._people = 0, b""
        for number, (key, written_ms) in enumerate(seen, 1):
            # The time of writing counts, not the event's: a user whose events arrived late is not idle.
            if now_ms - written_ms > self.expiry_ms:
                state.forget(key[1:].decode())
                forgotten += 1
            if number == self.limit or over():
                self._people = key
                break
        return forgotten

    def _close(self, state: Swept, now_ms: int, over: Callable[[], bool]) -> list[Feedback]:
        seen = state.scan(EXPOSURE, self._lists, self.limit)
        self._lists = b""
        feedback: list[Feedback] = []
        for number, (key, _) in enumerate(seen, 1):
            user = key[1:].decode()
            before = state.exposure(user)
            after, closed = close(before, user, now_ms, self.window_ms)
            if after is not before:
                state.set_exposure(user, after)
            feedback.extend(closed)
            if number == self.limit or over():
                self._lists = key
                break
        return feedback
