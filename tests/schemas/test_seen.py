"""What two settings say of seen items, scene by scene."""

import pytest

from schemas.events import EventKind
from schemas.seen import DAY_MS, KINDS, PLAIN, SeenRule, seen_rules

BOUGHT = frozenset({EventKind.PURCHASE, EventKind.DISLIKE})


def test_everything_that_was_met_is_seen_for_good_unless_settings_say_otherwise():
    assert seen_rules("never", "all") == PLAIN
    assert PLAIN.plain
    for kind in KINDS:
        assert PLAIN.of("any").hides(kind, 0, 2**53)


def test_each_scene_has_its_own_rule_and_the_others_have_the_first():
    rules = seen_rules("never, music=always, news=7", "all, shop=purchase+dislike, news = view")
    assert rules.of("home") == SeenRule()
    assert rules.of("music") == SeenRule(days=0)
    assert rules.of("shop") == SeenRule(BOUGHT)
    assert rules.of("news") == SeenRule(frozenset({EventKind.VIEW}), 7)
    assert not rules.plain
    assert seen_rules("30", "purchase").of("anything") == SeenRule(frozenset({EventKind.PURCHASE}), 30)


def test_a_view_alone_need_not_hide_an_item_and_a_purchase_does():
    shop = seen_rules("never", "all, shop=purchase").of("shop")
    assert not shop.hides(EventKind.VIEW, 0, 0)
    assert shop.hides(EventKind.PURCHASE, 0, 9_999 * DAY_MS)


def test_always_hides_nothing():
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
        ("never", "bought", "all or kinds joined by"),
        ("never", "view+steer", "'steer' is not"),
        ("never", "", ""),
    ],
)
def test_what_is_not_understood_is_named_with_what_is_taken(again, kinds, says):
    if not says:
        assert seen_rules(again, kinds) == PLAIN
        return
    with pytest.raises(ValueError, match=says.replace("+", r"\+")):
        seen_rules(again, kinds)
