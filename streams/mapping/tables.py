"""Read the tables of a mapping file strictly: unknown keys and values of the wrong type are refused by name. Pure."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from schemas.shown import shown
from streams.errors import BadMapping

MAX_SHOWN = 60


class Table:
    """One table of a mapping file. `where` is its name in errors: `events[0].kind`."""

    def __init__(self, found: Any, where: str, known: Iterable[str]) -> None:
        """Raises `BadMapping` if `found` is no table or has other keys than `known`."""
        if not isinstance(found, Mapping):
            raise BadMapping(f"`{where}` is {described(found)}, but a table is needed.")
        self._found = found
        self.where = where
        names = list(known)
        for key in found:
            if key not in names:
                near = get_close_matches(key, names, n=1)
                meant = f"; did you mean `{near[0]}`?" if near else ""
                raise BadMapping(f"unknown key `{self.name(key)}`{meant} Known here: {', '.join(names)}.")

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def name(self, key: str) -> str:
        return shown(f"{self.where}.{key}" if self.where else key)[:MAX_SHOWN]

    def raw(self, key: str, default: Any = None) -> Any:
        return self._found.get(key, default)

    def get(self, key: str, kind: type | tuple[type, ...], words: str, default: Any) -> Any:
        """The value of `key`, of the type `kind`, which errors call `words`."""
        found = self._found.get(key, default)
        if key in self._found and (not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool)):
            raise self.wrong(key, f"{words} is needed, not {described(found)}")
        return found

    def text(self, key: str, default: str = "") -> str:
        found: str = self.get(key, str, "text", default)
        return found

    def flag(self, key: str) -> bool:
        found: bool = self.get(key, bool, "true or false", False)
        return found

    def one_of(self, key: str, choices: Iterable[str], default: str) -> str:
        found, known = self.text(key, default), list(choices)
        if key in self._found and found not in known:
            raise self.wrong(key, f"it takes {', '.join(known)}, not {described(found)}")
        return found

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A text or a list of texts."""
        found = self._found.get(key)
        if key not in self._found:
            return default
        held = found if isinstance(found, list) else [found]
        if not held or not all(isinstance(each, str) for each in held):
            raise self.wrong(key, f"text, or a list of texts, is needed, not {described(found)}")
        return tuple(held)

    def number(self, key: str) -> float | None:
        found = self.get(key, (int, float), "a number", None)
        return None if found is None else float(found)

    def wrong(self, key: str, why: str) -> BadMapping:
        return BadMapping(f"`{self.name(key)}`: {why}.")


def described(found: Any) -> str:
    """A value of a mapping file, short enough for an error."""
    return shown(repr(found))[:MAX_SHOWN]
