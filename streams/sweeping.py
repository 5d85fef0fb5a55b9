"""Finding what has expired, in small steps: people not heard of for long, and lists whose window is over. Pure.

A step looks at a bounded number of records, so that it never holds up a batch; the steps go round and round.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from schemas.feedback import Feedback
from streams.attribution import Exposure, close
from streams.erasure import KEPT_MS
from streams.store import CONTEXT, EXPOSURE


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

    def step(self, state: Swept, now_ms: int) -> tuple[int, list[Feedback]]:
        """Look at the next records; returns how many people were forgotten, and what became of lists nobody took from.

        The changes are put into `state`; the caller seals them behind the publishing of the feedback.
        """
        state.drop_erasures(now_ms - KEPT_MS)
        return self._forget(state, now_ms), self._close(state, now_ms)

    def _forget(self, state: Swept, now_ms: int) -> int:
        seen = list(state.scan(CONTEXT, self._people, self.limit))
        self._people = seen[-1][0] if len(seen) == self.limit else b""
        # When it was written is when the person was last heard of: also someone whose events came late was, just now.
        over = [key for key, written_ms in seen if now_ms - written_ms > self.expiry_ms]
        for key in over:
            state.forget(key[1:].decode())
        return len(over)

    def _close(self, state: Swept, now_ms: int) -> list[Feedback]:
        seen = [key for key, _ in state.scan(EXPOSURE, self._lists, self.limit)]
        self._lists = seen[-1] if len(seen) == self.limit else b""
        feedback: list[Feedback] = []
        for key in seen:
            user = key[1:].decode()
            before = state.exposure(user)
            after, closed = close(before, user, now_ms, self.window_ms)
            if after is not before:
                state.set_exposure(user, after)
            feedback.extend(closed)
        return feedback
