"""The two settings for seen items, by scene."""

import pytest

from schemas.events import EventKind
from schemas.seen import DAY_MS, KINDS, PLAIN, SeenRule, seen_rules

BOUGHT = frozenset({EventKind.PURCHASE, EventKind.DISLIKE})


def test_items_met_are_seen_for_good_by_default():
    assert seen_rules("never", "all") == PLAIN
    assert PLAIN.plain
    for kind in KINDS:
        assert PLAIN.of("any").hides(kind, 0, 2**53)


def test_scenes_without_a_rule_use_the_default():
    rules = seen_rules("never, music=always, news=7", "all, shop=purchase+dislike, news = view")
    assert rules.of("home") == SeenRule()
    assert rules.of("music") == SeenRule(days=0)
    assert rules.of("shop") == SeenRule(BOUGHT)
    assert rules.of("news") == SeenRule(frozenset({EventKind.VIEW}), 7)
    assert not rules.plain
    assert seen_rules("30", "purchase").of("anything") == SeenRule(frozenset({EventKind.PURCHASE}), 30)


def test_rule_can_hide_purchases_but_not_views():
    shop = seen_rules("never", "all, shop=purchase").of("shop")
    assert not shop.hides(EventKind.VIEW, 0, 0)
    assert shop.hides(EventKind.PURCHASE, 0, 9_999 * DAY_MS)


def test_rule_that_says_always_hides_nothing():
    assert not SeenRule(days=0).hides(EventKind.PURCHASE, 5 * DAY_MS, 5 * DAY_MS)


@pytest.mark.parametrize(
    ("again", "kinds", "says"),
    [
        ("sometimes", "all", "never, always, or a number of days from 1 to 36,500"),
        ("0", "all", "number of days from 1"),
        ("1.5", "all", "number of days from 1"),
        ("-3", "all", "number of days"),
        ("never, =7", "all", "names no scene before ="),
        ("never, a=1, a=2", "all", "the scene a is named twice"),
        ("never", "bought", "all, or kinds joined by"),
        ("never", "view+steer", "'steer' is not"),
        ("never", "", ""),
    ],
)
def test_invalid_setting_is_named_with_the_accepted_values(again, kinds, says):
    if not says:
        assert seen_rules(again, kinds) == PLAIN
        return
    with pytest.raises(ValueError, match=says.replace("+", r"\+")):
        seen_rules(again, kinds)
