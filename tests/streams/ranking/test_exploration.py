"""Settings of exploration, by scene."""

import pytest

from streams.errors import BadSetting
from streams.ranking.exploration import Exploration, Explorations
from streams.ranking.settings import Ranking
from streams.serving.ranking_settings import ranking_of
from streams.settings import Settings, read_settings


def test_settings_give_each_scene_its_exploration() -> None:
    lists = read_settings(
        {
            "OUZEL_EXPLORATION": "0.1, home=0.2",
            "OUZEL_EXPLORATION_TEMPERATURE": "cart=2",
            "OUZEL_NEW_ITEM_SHARE": "0, home=0.25",
            "OUZEL_NEW_ITEM_PLACES": "3",
        }
    ).lists
    usual = Exploration().temperature
    assert lists.explorations() == Explorations(
        Exploration(0.1, usual, 0.0, 3),
        {"cart": Exploration(0.1, 2.0, 0.0, 3), "home": Exploration(0.2, usual, 0.25, 3)},
    )
    assert lists.explorations().of("mail") == Exploration(0.1, usual, 0.0, 3)


def test_defaults_are_those_of_the_ranking() -> None:
    assert Settings().lists.explorations() == Explorations()
    assert ranking_of(Settings().lists) == Ranking()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("OUZEL_EXPLORATION", "1.5", "'1.5' is not a number from 0 to 1"),
        ("OUZEL_EXPLORATION", "0.1, home=often", "'often' is not a number from 0 to 1"),
        ("OUZEL_EXPLORATION", "nan", "'nan' is not a number"),
        ("OUZEL_EXPLORATION", "", None),
        ("OUZEL_EXPLORATION", "0.1, home=0.2, home=0.3", "the scene home is named twice"),
        ("OUZEL_EXPLORATION_TEMPERATURE", "0", "'0' is not a number from 0.01 to 10"),
        ("OUZEL_EXPLORATION_TEMPERATURE", "inf", "'inf' is not a number from 0.01 to 10"),
        ("OUZEL_NEW_ITEM_SHARE", "-0.1", "'-0.1' is not a number from 0 to 1"),
        ("OUZEL_NEW_ITEM_SHARE", "=0.1", "names no scene before ="),
        ("OUZEL_NEW_ITEM_PLACES", "0", "it takes a whole number, 1 to 20"),
        ("OUZEL_NEW_ITEM_DAYS", "0", "out of bounds"),
    ],
)
def test_unusable_exploration_is_refused_by_name(name: str, text: str, said: str | None) -> None:
    if said is None:
        assert read_settings({name: text}).lists.explorations() == Explorations()
        return
    with pytest.raises(BadSetting, match=name) as refused:
        read_settings({name: text})
    assert said in str(refused.value)


def test_new_items_are_candidates_only_where_a_scene_shows_them() -> None:
    def size(**settings: object) -> int:
        (source,) = (one for one in ranking_of(Settings.make(**settings).lists).sources.all if one.name == "new")
        return source.size

    assert size() > 0
    assert size(new_item_share="0") == 0
    assert size(new_item_share="0, home=0.1") > 0


def test_new_items_are_new_as_the_settings_say() -> None:
    lists = Settings.make(new_item_days=0.5, new_item_events=7).lists
    (source,) = (one for one in ranking_of(lists).sources.built_in if one.name == "new")
    assert vars(source) | {"max_age_ms": 43_200_000, "max_events": 7} == vars(source)


def test_language_without_templates_is_refused_with_those_that_there_are() -> None:
    assert ranking_of(Settings.make(language="zh").lists).language.name == "zh"
    with pytest.raises(BadSetting, match="OUZEL_LANGUAGE=xx: there is en, zh"):
        ranking_of(Settings.make(language="xx").lists)
