"""Finding what has expired, in small steps: people not heard of for long, and lists whose window is over. Pure.

A step looks at a bounded number of records, and stops early when its time is over, so that it never holds up a batch;
the steps go round and round.
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
    """Where the two rounds stand. `limit` records of each kind are looked at in a step."""

    limit: int
    expiry_ms: int
    window_ms: int
    _people: bytes = b""
    _lists: bytes = b""

    def step(self, state: Swept, now_ms: int, over: Callable[[], bool] = lambda: False) -> tuple[int, list[Feedback]]:
        """Look at the next records; returns how many people were forgotten, and what became of lists nobody took from.

        Once it is `over`, each of the two rounds looks at one record more.
        The changes are put into `state`; the caller seals them behind the publishing of the feedback.
        """
        state.drop_erasures(now_ms - KEPT_MS)
        return self._forget(state, now_ms, over), self._close(state, now_ms, over)

    def _forget(self, state: Swept, now_ms: int, over: Callable[[], bool]) -> int:
        seen = state.scan(CONTEXT, self._people, self.limit)
        forgotten, self._people = 0, b""
        for number, (key, written_ms) in enumerate(seen, 1):
            # When it was written is when the person was last heard of: also someone whose events came late was, now.
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
