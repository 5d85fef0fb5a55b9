"""What `ouzel export lists` says of an export."""

from collections.abc import Iterator

from deploy.export.list_rows import Counts
from deploy.export.reading import Read


def report(counts: Counts, read: Read, scene: str | None) -> Iterator[str]:
    """Lines for the operator: what was exported, what was left out and why."""
    exported, users = _many(counts.lists, "list"), _many(counts.users, "user")
    yield f"exported {_many(counts.rows, 'row')}: {exported} of {users}"
    for count, why in (
        (counts.older, "older than --since"),
        (counts.empty, "without entries"),
        (counts.erased, "of users who were erased since"),
    ):
        if count:
            yield f"left out {_many(count, 'list')} {why}"
    if counts.untitled:
        yield f"rows without a title, since ouzel.items does not have the item (any more): {counts.untitled:,}"
    if read.lists.unreadable:
        unread = _many(read.lists.unreadable, "record")
        yield (
            f"{unread} of ouzel.recommendations cannot be read, so their users may have older lists here, or none: "
            "look at `ouzel read recommendations`"
        )
    if read.erased.unreadable:
        unread = _many(read.erased.unreadable, "record")
        yield (
            f"{unread} of ouzel.privacy and ouzel.privacy-receipts cannot be read, so users who were erased may be in "
            "this export: look at `ouzel read privacy` and `ouzel read privacy-receipts`"
        )
    if scene is not None and read.lists.scenes and scene not in read.lists.scenes:
        yield f"no list is of the scene {scene}. The first scenes are: {', '.join(sorted(read.lists.scenes))}"


def _many(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else word + 's'}"
