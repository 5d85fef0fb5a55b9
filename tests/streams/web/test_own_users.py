"""Users whose partitions a worker serves."""

import itertools
from types import SimpleNamespace
from typing import Any

from streams.fold.context import EMPTY
from streams.fold.marking import UNKEYED
from streams.kafka.partitions import partition_of
from streams.privacy.sessions import Sessions
from streams.web.own_users import OwnUsers


def own_users(served: dict[int, Any], count: int | None = 8) -> OwnUsers:
    numbers = itertools.count()
    lanes: Any = SimpleNamespace(lanes=served)
    draw = lambda size: f"{next(numbers):0{2 * size}x}"  # noqa: E731
    return OwnUsers(lanes, lambda: count, lambda user: f"alias of {user}", draw)


def lane(*, ready: bool = True) -> Any:
    state = SimpleNamespace(context=lambda user: (user, EMPTY), marking=UNKEYED)
    return SimpleNamespace(ready=ready, state=state if ready else None)


def test_new_user_is_in_a_partition_that_is_served() -> None:
    for partition in range(8):
        user = own_users({partition: lane()}).new("guest-")
        assert user is not None
        assert partition_of(user.encode(), 8) == partition


def test_new_user_needs_a_served_partition() -> None:
    assert own_users({}).new("guest-") is None
    assert own_users({0: lane(ready=False)}).new("guest-") is None
    assert own_users({0: lane()}, count=None).new("guest-") is None


def test_context_is_found_under_the_alias_where_the_partition_is_served() -> None:
    here: Any = own_users({n: lane() for n in range(8)})
    assert here.context("u") == ("alias of u", EMPTY)
    assert here.basis("u") == (("alias of u", EMPTY), UNKEYED)
    assert own_users({}).basis("u") is None
    assert own_users({n: lane(ready=False) for n in range(8)}).context("u") is None
    assert own_users({}).context("u") is None


def test_subject_is_a_user_whose_partition_is_served_and_empty_once_it_is_not() -> None:
    state = SimpleNamespace(context=lambda user: user, marking=UNKEYED, sessions=Sessions(b"secret"), open=True)
    served: Any = {n: SimpleNamespace(ready=True, state=state) for n in range(8)}
    subject: Any = own_users(served).subject("u")
    assert (subject.context(), subject.alias) == ("alias of u", "alias of u")
    assert subject.session == Sessions(b"secret").number("u")
    state.open = False
    assert subject.context() == EMPTY
    assert own_users({}).subject("u") is None
    assert own_users({n: lane(ready=False) for n in range(8)}).subject("u") is None
