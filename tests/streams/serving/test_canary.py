"""A canary's users are drawn by a keyed hash: the same everywhere, a larger share keeps them, a salt draws others."""

import pytest

from schemas.models import ModelStatus
from streams.serving.canary import drawn

USERS = [f"user-{number}" for number in range(4_000)]


def those(share: float, salt: str = "a") -> set[str]:
    return {user for user in USERS if drawn(user, share, salt)}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_share_of_users_is_drawn(share: float) -> None:
    assert len(those(share)) / len(USERS) == pytest.approx(share, abs=0.02 if 0 < share < 1 else 0)


def test_users_drawn_stay_drawn_when_the_share_grows() -> None:
    assert those(0.05) < those(0.2) < those(1.0)


def test_another_salt_draws_independently() -> None:
    both = those(0.5) & those(0.5, "b")
    assert len(both) / len(USERS) == pytest.approx(0.25, abs=0.03)


def test_longest_salt_of_the_contract_is_a_key() -> None:
    salt = "\U0001f426" * 64
    ModelStatus(model="scorer", version="v", role="canary", ts=1, salt=salt)
    assert 0 < len(those(0.5, salt)) < len(USERS)


def test_draw_is_the_same_in_every_process() -> None:
    assert [user for user in USERS[:40] if drawn(user, 0.1, "salt")] == DRAWN


DRAWN = ["user-18", "user-23", "user-26"]
