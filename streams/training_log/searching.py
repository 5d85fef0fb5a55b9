"""Searching the training log for the rows of one user, of one version of the model, or of an erasure order.

Each search reads whole columns, and of other rows nothing. Files that disappear meanwhile were merged or expired: the
search starts over.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from streams.errors import LogFailed
from streams.training_log.erased import mark_of
from streams.training_log.files import Files
from streams.training_log.log_files import LOGGED, LogFile, select
from streams.training_log.tables import Row, rows_of

M = TypeVar("M", bound=msgspec.Struct)
T = TypeVar("T")

TRIES = 20
"""How often a search starts over because files disappeared."""


class LogSearch:
    """The training log under a root. All methods raise `LogFailed`."""

    def __init__(self, root: str) -> None:
        """Raises `BadSetting` where the root is no place for a log."""
        self._files = Files(root)

    def empty(self) -> bool:
        """Whether there is no file at all."""
        return not any(self._searched(topic, list) for topic in LOGGED)

    def of_user(self, topic: str, message: type[M], names: Iterable[str]) -> list[Row[M]]:
        """The rows of a user who has one of these names, repeats too, in the order of their partitions and offsets.
        Holds all of them in memory."""
        where = pc.field("user").isin(pa.array(sorted(names), pa.string()))

        def found(files: Iterable[LogFile]) -> list[Row[M]]:
            return [row for part in select(files) for row in rows_of(message, self._files.read(part, where=where))]

        return self._searched(topic, found)

    def lists_of(self, topic: str, version: str) -> int:
        """How many lists of a version of the model the feedback in `topic` has. A record that a worker published twice
        counts twice."""
        where = (pc.field("model_version") == version) & (pc.list_value_length(pc.field("shown")) > 0)

        def found(files: Iterable[LogFile]) -> int:
            return sum(self._files.read(part, ["offset"], where).num_rows for part in select(files))

        return self._searched(topic, found)

    def erased_by(self, topic: str, order: str) -> list[tuple[int, int]]:
        """Partitions and offsets of the rows that an erasure order removed, ascending."""
        mark = mark_of(order)

        def found(files: Iterable[LogFile]) -> set[tuple[int, int]]:
            return {(file.partition, offset) for file in files for offset in self._files.note(file).get(mark, ())}

        return sorted(self._searched(topic, found))

    def _searched(self, topic: str, search: Callable[[Iterable[LogFile]], T]) -> T:
        for _ in range(TRIES):
            try:
                return search([each.file for each in self._files.of_topic(topic)])
            except FileNotFoundError:
                continue
            except (OSError, pa.ArrowException) as error:
                raise LogFailed(
                    f"the training log cannot be read ({type(error).__name__}): check its address, the rights on it, "
                    "and the access to the object store."
                ) from None
        raise LogFailed(
            f"files of {topic} disappeared {TRIES} times while they were searched: check what else deletes files of "
            "the training log."
        )
