"""The settings of ranking that follow from those of a worker."""

from schemas.recommendations import Source
from schemas.seen import DAY_MS
from streams.errors import BadSetting
from streams.ranking.settings import Ranking
from streams.serving.custom_sources import load_sources
from streams.settings import variable
from streams.settings.groups import Lists
from streams.wording.language import Language, languages


def language(name: str) -> Language:
    """The language of reasons. Raises `BadSetting` for one that there are no templates of."""
    known = languages()
    if name not in known:
        named = ", ".join(sorted(known))
        raise BadSetting(f"{variable('language')}={name}: there is {named}; docs/guide/ranking.md says how to add one.")
    return known[name]


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
        language=language(lists.language),
        sources=sources if exploration.shows_new else sources.sized(new=0),
    )
