"""The newest list of each user and scene. Pure."""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from schemas.codec import decode
from schemas.errors import Refused
from schemas.recommendations import Recommendation
from streams.unreadable import Unreadable

MOST_SCENES = 20
"""Scenes that an error message names."""


class _Newest(NamedTuple):
    ts: int
    value: bytes


class CurrentLists:
    """The newest list of each user and scene among the records of `ouzel.recommendations` that were taken.

    The newest is the one with the highest `ts`, of two with the same the later record. With `scene`, only lists of that
    scene are kept. Lists are kept encoded, about 3.5 KB for each user and scene with lists of ten entries, however many
    records there are. `unreadable` counts the records that are no list of their key.
    """

    def __init__(self, scene: str | None = None) -> None:
        self.unreadable = 0
        self.scenes: set[str] = set()
        """The scenes of the topic, at most `MOST_SCENES`."""
        self._scene = scene
        self._newest: dict[bytes, dict[str, _Newest]] = {}

    def take(self, record: Any) -> None:
        """Take the next record of its partition. One without a value drops what was taken of its user before."""
        if isinstance(record, Unreadable):
            self.unreadable += record.offset - record.first + 1
            return
        if record.value is None:
            self._newest.pop(record.key, None)
            return
        try:
            made = decode(Recommendation, record.value)
        except Refused:
            self.unreadable += 1
            return
        if record.key != made.user.encode():
            self.unreadable += 1
            return
        if len(self.scenes) < MOST_SCENES:
            self.scenes.add(made.scene)
        if self._scene is None or made.scene == self._scene:
            lists = self._newest.setdefault(record.key, {})
            before = lists.get(made.scene)
            if before is None or made.ts >= before.ts:
                lists[sys.intern(made.scene)] = _Newest(made.ts, record.value)

    def __iter__(self) -> Iterator[Recommendation]:
        """The lists, in the order of users and scenes."""
        for user in sorted(self._newest):
            lists = self._newest[user]
            for scene in sorted(lists):
                yield decode(Recommendation, lists[scene].value)
