"""The items that users have met along a stream, and those that the seen rules of the scenes hide at a given time."""

from schemas.events import Event, EventKind
from schemas.seen import PLAIN, SeenRules


class Met:
    """Each user's items, with the time of the last event of each kind."""

    def __init__(self, rules: SeenRules = PLAIN) -> None:
        self.rules = rules
        self._met: dict[str, dict[str, dict[EventKind, int]]] = {}

    def learn(self, event: Event) -> None:
        """Learn an event; events without an item are ignored."""
        if event.item is not None:
            kinds = self._met.setdefault(event.user, {}).setdefault(event.item, {})
            kinds[event.kind] = max(event.ts, kinds.get(event.kind, 0))

    def any(self, user: str) -> bool:
        """Whether the user has met anything."""
        return user in self._met

    def knows(self, user: str, item: str) -> bool:
        """Whether the user has met the item."""
        return item in self._met.get(user, {})

    def hides(self, event: Event) -> bool:
        """Whether the event's item is hidden from its user in its scene just before the event."""
        kinds = self._met.get(event.user, {}).get(event.item or "", {})
        rule = self.rules.of(event.scene)
        return any(rule.hides(kind, ts, event.ts) for kind, ts in kinds.items())

    def hidden(self, user: str, scene: str, now_ms: int) -> frozenset[str]:
        """The items hidden from the user in a scene at `now_ms`."""
        met, rule = self._met.get(user, {}), self.rules.of(scene)
        if rule.plain:
            return frozenset(met)
        return frozenset(
            item for item, kinds in met.items() if any(rule.hides(kind, ts, now_ms) for kind, ts in kinds.items())
        )
