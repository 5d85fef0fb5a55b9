"""Which events make an item seen, and when it may be recommended again: one rule per scene, for lists and evaluation.

An event of a kind that counts makes its item seen by the user. The scene's lists then leave the item out for good
("never" again), until the first midnight (UTC) after a number of full days since the last such event, or not at all
("always" again).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.actions import ITEM_KINDS
from schemas.events import EventKind
from schemas.scenes import by_scene

DAY_MS = 86_400_000
MAX_DAYS = 36_500
LAST_DAY = 65_535
"""The last day that can be represented, in days since 1970: in the year 2149."""

KINDS = ITEM_KINDS
"""The kinds of events about an item."""

NEVER, ALWAYS, ALL = "never", "always", "all"


def day_of(ts: int) -> int:
    """The day of a time in milliseconds, in days since 1970, at most `LAST_DAY`."""
    return min(ts // DAY_MS, LAST_DAY)


@dataclass(frozen=True, repr=False)
class SeenRule:
    """Events of `kinds` make an item seen for `days`: for good if None, not at all if 0."""

    kinds: frozenset[EventKind] = frozenset(KINDS)
    days: int | None = None

    @property
    def plain(self) -> bool:
        """Whether every item that the user has met is seen for good."""
        return self.days is None and len(self.kinds) == len(KINDS)

    def hides(self, kind: EventKind, ts: int, now_ms: int) -> bool:
        """Whether an item with a last event of `kind` at `ts` is left out at `now_ms`."""
        return kind in self.kinds and (self.days is None or now_ms < self.back_ms(day_of(ts)))

    def back_ms(self, day: int) -> int:
        """When an item last met on `day` may be recommended again. Meaningless for rules that say never."""
        return (day + 1 + self.days) * DAY_MS if self.days else 0

    def __repr__(self) -> str:
        again = NEVER if self.days is None else f"after {self.days} days" if self.days else ALWAYS
        kinds = ALL if len(self.kinds) == len(KINDS) else "+".join(kind for kind in KINDS if kind in self.kinds)
        return f"{again} ({kinds})"


@dataclass(frozen=True, repr=False)
class SeenRules:
    """The rules of individual scenes, and the default for all others."""

    default: SeenRule = SeenRule()
    scenes: Mapping[str, SeenRule] = field(default_factory=dict)

    def of(self, scene: str) -> SeenRule:
        return self.scenes.get(scene, self.default)

    def __repr__(self) -> str:
        return ", ".join([repr(self.default), *(f"{scene} {rule!r}" for scene, rule in self.scenes.items())])

    @property
    def plain(self) -> bool:
        return self.default.plain and all(rule.plain for rule in self.scenes.values())


PLAIN = SeenRules()


def seen_rules(again: str, kinds: str) -> SeenRules:
    """Parse two settings, each comma-separated: a value for every scene, then `scene=value` for individual scenes.

    `again`: never, always, or days ("never, music=always, news=7"). `kinds`: all, or names joined by plus signs
    ("all, shop=purchase+dislike"). Raises `ValueError` with the accepted values.
    """
    days, known = by_scene(again, NEVER), by_scene(kinds, ALL)
    scenes = (days.keys() | known.keys()) - {""}
    return SeenRules(
        SeenRule(_kinds(known[""]), _days(days[""])),
        {
            scene: SeenRule(_kinds(known.get(scene, known[""])), _days(days.get(scene, days[""])))
            for scene in sorted(scenes)
        },
    )


def _days(text: str) -> int | None:
    if text in {NEVER, ALWAYS}:
        return None if text == NEVER else 0
    if not text.isdecimal() or not 1 <= int(text) <= MAX_DAYS:
        raise ValueError(f"{text!r} is not never, always, or a number of days from 1 to {MAX_DAYS:,}")
    return int(text)


def _kinds(text: str) -> frozenset[EventKind]:
    if text == ALL:
        return frozenset(KINDS)
    names = [each.strip() for each in text.split("+")]
    wrong = [name for name in names if name not in KINDS]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not {ALL}, or kinds joined by + ({', '.join(KINDS)})")
    return frozenset(EventKind(name) for name in names)
