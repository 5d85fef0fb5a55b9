"""The request to the model about a list, and the items that the model should have read for it. Pure."""

from schemas.actions import strength
from schemas.scoring import Past, ScoreRequest
from streams.fold.context import Context, Interaction, SceneContext, lately
from streams.items.catalogue import Catalogue
from streams.ranking.settings import Ranking
from streams.ranking.shortlist import Shortlist

LACKING = 20
"""Maximum candidates of a list, and maximum events of the user, that the model should have read."""


def score_request(chosen: Shortlist, *, session: int, settings: Ranking) -> ScoreRequest:
    """The request to the model: the best `rescored` candidates, given the user's last events."""
    moment = chosen.moment
    numbers = chosen.candidates.numbers[chosen.order[: settings.rescored]]
    return ScoreRequest(
        session=session,
        scene=moment.scene,
        history=history(moment.context, moment.scene, catalogue=moment.catalogue, settings=settings),
        candidates=tuple(moment.catalogue.described(int(number)) for number in numbers),
        steer=tuple(wish.text for wish in moment.wishes),
    )


def lacking(chosen: Shortlist, settings: Ranking) -> tuple[int, ...]:
    """The numbers of the items that the model should have read for this list, most needed first: the candidates that it
    scores one by one, the items of the user's last events, and the candidates after those. Items may repeat."""
    moment = chosen.moment
    numbers = chosen.candidates.numbers[chosen.order[:LACKING]].tolist()
    past = reversed(lately(moment.context, moment.scene)[-LACKING:])
    found = (moment.catalogue.index.find(one.item) for one in past)
    did = (number for number in found if number is not None)
    return (*numbers[: settings.rescored], *did, *numbers[settings.rescored :])


def history(context: Context, scene: str, *, catalogue: Catalogue, settings: Ranking) -> tuple[Past, ...]:
    """The user's last events of every kind (`read`), as the model reads them, oldest first."""
    found = []
    for one in read(context, scene, catalogue=catalogue, settings=settings):
        number = catalogue.index.find(one.item)
        assert number is not None, "only events on items of the catalogue are read"
        found.append(
            Past(
                catalogue.text(number),
                one.kind.value,
                item=one.item,
                about=catalogue.about(number),
                feeling=strength(one.kind, one.value),
                ts=one.ts,
            )
        )
    return tuple(found)


def read(context: Context, scene: str, *, catalogue: Catalogue, settings: Ranking) -> tuple[Interaction, ...]:
    """The user's last events of every kind that the model reads, oldest first: those on items of the catalogue.

    At most `settings.history` events. The number of earlier events in the scene is a multiple of `history_step`.
    """
    past = lately(context, scene)
    met = max(context.scenes.get(scene, SceneContext()).met, len(past))
    step = settings.history_step
    begin = max(0, -(-(met - settings.history) // step) * step)
    kept = past[max(0, len(past) - (met - begin)) :]
    return tuple(
        one for one in kept if (number := catalogue.index.find(one.item)) is not None and catalogue.holds(number)
    )
