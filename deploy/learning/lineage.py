"""Which versions learned from an event, from a user's events, or from what an erasure order removed.

Works from the store of versions and the training log alone: no broker and no server is asked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.errors import DeployError
from inference.versions.lineage import Dated, Learning, Place, learned_from, newest_without
from inference.versions.store import FIRST, Version, VersionStore
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.topics import EVENTS, FEEDBACK
from streams.training_log.log_files import LOGGED
from streams.training_log.searching import LogSearch
from streams.training_log.tables import Row

NOTHING = "it has no item, and versions learn from events on items only"


@dataclass(frozen=True)
class Lineage:
    """The `records` of the training log that were asked about, the versions that used them, and the version to train
    from without them. `unused` says why no version can have used them, if so. `lists` is the feedback of the user on
    lists of these versions, newest first, one for each list."""

    records: Sequence[Dated]
    learned: Sequence[Learning]
    without: int
    lists: Sequence[Feedback] = ()
    event: Event | None = None
    unused: str = ""


def of_event(store: VersionStore, log: LogSearch, names: Iterable[str], event: str) -> Lineage:
    """The lineage of the event with this id, of a user with one of these names. Raises `DeployError` if the log does
    not have it, and `LogFailed`."""
    names = frozenset(names)
    events, feedback = log.of_user(EVENTS.name, Event, names), log.of_user(FEEDBACK.name, Feedback, names)
    found = [row for row in events if row.message.id == event]
    told = [row for row in feedback if row.message.event == event]
    if not found and not told:
        raise DeployError(_not_found(len(events) + len(feedback)))
    one = found[0].message if found else None
    if one is not None and one.item is None:
        return Lineage(_dated(found, told), (), FIRST, event=one, unused=NOTHING)
    known = versions(store)
    lineage = _of(known, _dated(found, told))
    names_of = {known[each.number].name for each in lineage.learned}
    lists = {
        row.message.list: row.message for row in feedback if row.message.shown and row.message.model_version in names_of
    }
    newest = sorted(lists.values(), key=lambda each: each.ts, reverse=True)
    return Lineage(lineage.records, lineage.learned, lineage.without, newest, one)


def of_user(store: VersionStore, log: LogSearch, names: Iterable[str]) -> Lineage:
    """The lineage of everything that the log has of a user; without records if it has nothing. Raises `LogFailed`."""
    names = frozenset(names)
    events = [row for row in log.of_user(EVENTS.name, Event, names) if row.message.item is not None]
    return _of(versions(store), _dated(events, log.of_user(FEEDBACK.name, Feedback, names)))


def of_order(store: VersionStore, log: LogSearch, order: str) -> Lineage:
    """The lineage of what an erasure order removed from the log. Raises `DeployError` if it removed nothing, and
    `LogFailed`."""
    places = [Place(topic, *place) for topic in LOGGED for place in log.erased_by(topic, order)]
    if not places:
        raise DeployError(
            "nothing was removed from the training log for this order. It may have come before `ouzel log` wrote such "
            "notes, its user may have had no rows, their days may be over, or `ouzel log` has not read its receipt yet."
        )
    return _of(versions(store), [Dated(place) for place in places])


def versions(store: VersionStore) -> dict[int, Version]:
    """The versions in the store. Raises `WeightsError` for one that cannot be read: it may have learned the records."""
    return {number: store.record(number) for number in store.numbers()}


def retraining(lineage: Lineage) -> str:
    """The command that trains a version without the records, once they are gone from the log; empty if no version
    learned from them."""
    return f"ouzel learn --once --from {lineage.without}" if lineage.learned else ""


def _of(known: Mapping[int, Version], records: Sequence[Dated]) -> Lineage:
    learned = learned_from(known, records)
    return Lineage(records, learned, newest_without(known, learned))


def _dated(events: Iterable[Row[Event]], feedback: Iterable[Row[Feedback]]) -> list[Dated]:
    return [
        *(Dated(Place(EVENTS.name, row.partition, row.offset), row.message.ts) for row in events),
        *(Dated(Place(FEEDBACK.name, row.partition, row.offset), row.message.ts) for row in feedback),
    ]


def _not_found(rows: int) -> str:
    if rows:
        return (
            f"the training log has {rows:,} records of this user, and none of this event. It may be older than the log "
            "keeps, not logged yet (`ouzel log --once` logs what is on the topics), or erased: then ask with "
            "`ouzel lineage --order ORDER`, with the order of the receipt."
        )
    return (
        "the training log has no record of this user. If it has pseudonyms, set OUZEL_PSEUDONYM_KEY to the workers' "
        "key. If the user was erased, ask with `ouzel lineage --order ORDER`, with the order of the receipt."
    )
