"""The templates of each language, and how one is chosen."""

import string

import pytest

from schemas.events import EventKind
from streams.wording.language import DEFAULT, languages, preferred

OF_ITEMS = set(EventKind) - {EventKind.STEER, EventKind.FORGET, EventKind.ERASE}
PLURAL = {"zero", "one", "two", "few", "many", "other"}


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("name", languages())
def test_every_language_says_the_same(name: str) -> None:
    usual, others = languages()[DEFAULT].templates, languages()[name].templates
    assert usual.keys() == others.keys()
    for table, templates in usual.items():
        if templates.keys() <= PLURAL:
            assert "other" in others[table]
            assert others[table].keys() <= PLURAL
            asked = fields(templates["other"]) - {"count"}
            assert all(fields(each) - {"count"} == asked for each in others[table].values())
        else:
            assert {key: fields(each) for key, each in templates.items()} == {
                key: fields(each) for key, each in others[table].items()
            }


@pytest.mark.parametrize("name", languages())
def test_every_kind_of_event_on_an_item_has_words(name: str) -> None:
    assert languages()[name].templates["did"].keys() == {kind.value for kind in OF_ITEMS}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["zh-CN", "en"], "zh"),
        (["zh-Hant-TW"], "zh"),
        (["fr-FR", "en-GB", "zh"], "en"),
        (["fr"], "en"),
        ([], "en"),
        (["", "../../etc", "\x00", "en_US.UTF-8", "x" * 500], "en"),
    ],
)
def test_first_known_language_is_chosen(wanted: list[str], chosen: str) -> None:
    assert preferred(wanted).name == chosen


def test_facts_are_text_whatever_they_hold() -> None:
    said = languages()["en"].say("did", "like", title="{title} {0.__class__} %s")
    assert said == "your like of “{title} {0.__class__} %s”"


def test_numbers_and_plurals_are_the_language_s() -> None:
    english, chinese = languages()["en"], languages()["zh"]
    assert english.number(12345.678) == "12,345.68"
    assert "event does" in english.say_of("none", 1)
    assert "12 events" in english.say_of("none", 12)
    assert "12" in chinese.say_of("none", 12)
