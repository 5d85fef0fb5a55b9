"""What `ouzel lineage` prints."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.learning.lineage import Lineage, retraining
from deploy.learning.tables import moment
from inference.versions.lineage import Learning, Use
from inference.versions.store import VersionStore
from schemas.shown import shown

MOST_RECORDS, MOST_LISTS, MOST_ITEMS = 5, 20, 5

HOW = {
    Use.TRAINED: "trained on it: it was new then",
    Use.REPLAYED: "older then: history of newer events, and perhaps repeated",
    Use.HELD_OUT: "held out: it fitted the calibration, chose the round and judged the version",
}


def printed(found: Lineage, store: VersionStore) -> RenderableType:
    parts: list[RenderableType] = [Text(line) for line in _records(found)]
    if found.unused:
        return Group(*parts, Text(f"No version learned from it: {found.unused}."))
    if not found.learned:
        numbers = ", ".join(map(str, store.numbers()))
        return Group(*parts, Text(f"Not learned by {numbers}." if numbers else f"There is no version in {store.root}."))
    versions = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in ("version", "made", "from", "how it learned"):
        versions.add_column(name, overflow="fold")
    for each in found.learned:
        record = store.record(each.number)
        versions.add_row(str(each.number), moment(record.made_ms), str(record.parent), _how(each))
    parts += [Text(), versions, *(Text(line) for line in _others(found, store))]
    if found.event is not None:
        parts += [Text(), *_lists(found, store)]
    parts += [Text(), Text(f"To train without what is erased: {retraining(found)}")]
    return Group(*parts)


def _records(found: Lineage) -> Iterator[str]:
    if found.event is not None:
        one = found.event
        item = f" of {shown(one.item)}" if one.item is not None else ""
        yield f"Event {shown(one.id)}: {one.kind}{item}, {moment(one.ts)} UTC"
    if found.event is None and len(found.records) > MOST_RECORDS:
        yield f"{len(found.records):,} records"
    for each in found.records[:MOST_RECORDS]:
        place = each.place
        yield f"  record {place.offset:,} of partition {place.partition} of {place.topic}"
    if len(found.records) > MOST_RECORDS:
        yield f"  and {len(found.records) - MOST_RECORDS:,} more"


def _how(each: Learning) -> str:
    return HOW.get(each.use, f"inherited from version {each.through}")


def _others(found: Lineage, store: VersionStore) -> Iterator[str]:
    used = {each.number for each in found.learned}
    others = [str(number) for number in store.numbers() if number not in used]
    if others:
        yield f"Not learned by {', '.join(others)}."


def _lists(found: Lineage, store: VersionStore) -> Iterator[RenderableType]:
    numbers = {store.record(each.number).name: each.number for each in found.learned}
    if not found.lists:
        yield Text("The training log has no list that these versions made for the user.")
        return
    newest = f", the newest {MOST_LISTS} of them" if len(found.lists) > MOST_LISTS else ""
    yield Text(f"Lists that these versions made for the user: {len(found.lists):,} in the training log{newest}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in ("until", "list", "version", "outcome", "first items"):
        table.add_column(name, overflow="fold")
    for each in found.lists[:MOST_LISTS]:
        items = ", ".join(one.item for one in each.shown[:MOST_ITEMS])
        number = numbers.get(each.model_version or "", 0)
        table.add_row(moment(each.ts), Text(shown(each.list)), str(number), each.outcome, Text(shown(items)))
    yield table
