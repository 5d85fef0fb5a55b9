"""The settings of ranking that follow from those of a worker."""

from schemas.recommendations import Source
from schemas.seen import DAY_MS
from streams.ranking.settings import Ranking
from streams.serving.custom_sources import load_sources
from streams.settings.groups import Lists


def ranking_of(lists: Lists) -> Ranking:
    """The ranking of a worker's lists. Imports its custom sources; raises `BadSetting` if one cannot be used."""
    exploration = lists.explorations()
    sources = load_sources(lists.sources).changed(
        Source.NEW, max_age_ms=int(lists.new_item_days * DAY_MS), max_events=lists.new_item_events
    )
    return Ranking(
        length=lists.length,
        rescored=lists.rescored,
        exploration=exploration,
        seen=lists.seen_rules(),
        compared=lists.compared_users,
        sources=sources if exploration.shows_new else sources.sized(new=0),
    )
