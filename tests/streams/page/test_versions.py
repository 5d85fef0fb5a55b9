"""What the page shows of the versions of the model, stage by stage."""

from typing import Any

import msgspec
import pytest

from schemas.models import Role
from streams.page.versions import versions_view
from streams.serving.trials import Trials
from tests.support.version_records import comparison, status


def shown(trials: Trials, lacking: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(versions_view(trials, lacking))
    return found


def told(*records: Any) -> Trials:
    trials = Trials()
    for record in records:
        trials.take_status(record)
    return trials


def test_without_a_learner_there_is_no_version() -> None:
    assert shown(Trials()) == {"live": None, "trial": None, "ended": None, "lacking": 0, "compared": None}


def test_version_at_its_gates_is_on_trial_beside_the_live_one() -> None:
    view = shown(told(status(1, Role.CHAMPION), status(2, Role.MADE, reason="on 900 likes")))
    assert view["live"]["number"] == 1
    assert (view["trial"]["number"], view["trial"]["role"], view["trial"]["reason"]) == (2, "made", "on 900 likes")
    assert view["compared"] is None


@pytest.mark.parametrize("before", [[Role.MADE], [Role.MADE, Role.SHADOW], []], ids=["gates", "shadow", "compacted"])
def test_version_that_ended_is_shown_with_its_reason_until_the_next_one(before: list[Role]) -> None:
    trials = told(status(1, Role.CHAMPION), *(status(2, role) for role in before))
    trials.take_status(status(2, Role.RETIRED, reason="gate next item\u202e"))
    view = shown(trials)
    assert view["trial"] is None
    assert (view["ended"]["number"], view["ended"]["reason"]) == (2, "gate next item\\u202e")
    trials.take_status(status(3, Role.MADE))
    assert shown(trials)["ended"] is None


def test_champion_that_was_replaced_is_not_shown_as_ended() -> None:
    view = shown(told(status(1, Role.CHAMPION), status(2, Role.CHAMPION), status(1, Role.RETIRED, reason="replaced")))
    assert (view["live"]["number"], view["ended"]) == (2, None)


def test_challenger_has_the_figures_of_the_likes_that_this_worker_compared() -> None:
    trials = told(status(1, Role.CHAMPION), status(2, Role.SHADOW))
    assert shown(trials, 7)["lacking"] == 7
    for at in range(10):
        trials.take_comparison(comparison(at, 1, 2, (at < 2, at < 3)))
    found = shown(trials)["compared"]
    assert (found["likes"], found["champion"], found["challenger"]) == (10, 0.2, 0.3)
    assert found["difference"] == pytest.approx(0.1)
    assert found["low"] < 0.1 < found["high"]
    trials.take_status(status(2, Role.CANARY, share=0.1))
    assert shown(trials)["compared"] is None, "each stage is compared by itself"
