"""The languages of readers: templates in files beside this one, with plural forms and numbers by Babel."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from babel import Locale, negotiate_locale
from babel.lists import format_list
from babel.numbers import format_decimal

DEFAULT = "en"


@dataclass(frozen=True)
class Language:
    """The templates of a language, by table and key. `name` is that of its file."""

    name: str
    templates: dict[str, dict[str, str]]

    def say(self, table: str, key: str, **facts: str) -> str:
        """A template with facts put in. Braces in a fact are text."""
        return self.templates[table][key].format(**facts)

    def say_of(self, table: str, count: int, **facts: str) -> str:
        """The template of a table in the plural form for `count`, with facts put in."""
        return self.say(table, Locale(self.name).plural_form(count), count=self.number(count), **facts)

    def join(self, names: Sequence[str]) -> str:
        """Names as the language lists them: "a and b"."""
        return format_list(names, locale=self.name)

    def number(self, value: float, pattern: str = "#,##0.##") -> str:
        """A number as the language writes it."""
        return format_decimal(value, pattern, locale=self.name)


@cache
def languages() -> dict[str, Language]:
    """Every language that there is a file of, by its name."""
    found = {}
    for each in files("streams.wording").iterdir():
        name, _, kind = each.name.partition(".")
        if kind == "toml":
            found[name] = Language(name, tomllib.loads(each.read_text("utf-8")))
    return found


def default() -> Language:
    """The language of readers who did not say which."""
    return languages()[DEFAULT]


def preferred(wanted: Sequence[str]) -> Language:
    """The first language of `wanted`, tags as in "zh-CN", that there is, else `DEFAULT`."""
    known = languages()
    return known[negotiate_locale(wanted, list(known), sep="-") or DEFAULT]
