"""Users whose partitions a worker serves."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from streams.fold.context import EMPTY
from streams.kafka.partitions import partition_of
from streams.page.own_users import OwnUsers
from streams.serving.explaining import NotExplained
from tests.streams.page.test_views import recommendation


def own_users(served: dict[int, Any], count: int | None = 8, explaining: Any = None) -> OwnUsers:
    numbers = itertools.count()
    lanes: Any = SimpleNamespace(lanes=served)
    draw = lambda size: f"{next(numbers):0{2 * size}x}"  # noqa: E731
    return OwnUsers(lanes, lambda: count, lambda user: f"alias of {user}", draw, lambda: explaining)


def lane(*, ready: bool = True) -> Any:
    state = SimpleNamespace(context=lambda user: (user, EMPTY))
    return SimpleNamespace(ready=ready, state=state if ready else None)


def test_new_user_is_in_a_partition_that_is_served() -> None:
    for partition in range(8):
        user = own_users({partition: lane()}).new()
        assert user is not None
        assert partition_of(user.encode(), 8) == partition


def test_new_user_needs_a_served_partition() -> None:
    assert own_users({}).new() is None
    assert own_users({0: lane(ready=False)}).new() is None
    assert own_users({0: lane()}, count=None).new() is None


def test_context_is_found_under_the_alias_where_the_partition_is_served() -> None:
    here: Any = own_users({n: lane() for n in range(8)})
    assert here.context("u") == ("alias of u", EMPTY)
    assert own_users({n: lane(ready=False) for n in range(8)}).context("u") is None
    assert own_users({}).context("u") is None


async def test_list_is_explained_where_the_user_s_partition_is_served() -> None:
    async def explain(*about: Any) -> tuple[Any, ...]:
        return about

    made, explaining = recommendation(["i0"]), SimpleNamespace(explain=explain)
    served = {n: lane() for n in range(8)}
    found: Any = await own_users(served, explaining=explaining).explain(made)
    assert found[:2] == (made, f"alias of {made.user}")
    assert found[2] in [each.state for each in served.values()]
    for elsewhere in (own_users({}, explaining=explaining), own_users(served)):
        with pytest.raises(NotExplained, match="Another worker"):
            await elsewhere.explain(made)
