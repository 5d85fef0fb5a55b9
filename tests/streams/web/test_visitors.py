"""Which connection is closed when there is one too many."""

from hypothesis import given
from hypothesis import strategies as st

from streams.web.loopback import is_loopback, name_in, neighbourhood
from streams.web.visitors import ANSWER_SECONDS, Standing, to_end

NOW = 1_000.0
standings = st.builds(
    Standing,
    address=st.sampled_from(["a", "b", "c"]),
    proven=st.booleans(),
    busy_since=st.none() | st.floats(NOW - 2 * ANSWER_SECONDS, NOW),
)


def busy(each: Standing) -> bool:
    return each.busy_since is not None and NOW - each.busy_since < ANSWER_SECONDS


@given(st.lists(standings, min_size=1, max_size=20))
def test_idle_connections_are_closed_before_busy_ones(held: list[Standing]) -> None:
    ended = held[to_end(held, NOW)]
    if busy(ended):
        assert all(map(busy, held))
        assert not ended.proven or all(each.proven for each in held)
    if ended.proven:
        assert all(each.proven or busy(each) for each in held)


@given(st.lists(standings, min_size=1, max_size=20))
def test_oldest_connection_of_the_address_with_the_most_is_closed(held: list[Standing]) -> None:
    number = to_end(held, NOW)
    alike = [
        index
        for index, each in enumerate(held)
        if (busy(each), each.proven) == (busy(held[number]), held[number].proven)
    ]
    count = {address: sum(held[index].address == address for index in alike) for address in "abc"}
    assert count[held[number].address] == max(count.values())
    assert not [index for index in alike if index < number and held[index].address == held[number].address]


def test_endless_request_is_spared_only_for_a_while() -> None:
    stuck, idle = Standing("a", True, NOW - ANSWER_SECONDS), Standing("b", False, NOW)
    assert to_end([idle, stuck], NOW) == 1


def test_machine_is_counted_under_one_address() -> None:
    assert neighbourhood("192.0.2.7") == neighbourhood("::ffff:192.0.2.7") == "192.0.2.7"
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::ffff:1:2:3") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood("fe80::1%eth0") == neighbourhood("fe80::2%eth1")
    assert neighbourhood("") == ""
    assert neighbourhood("no:address") == "no:address"


@given(st.text())
def test_any_host_header_has_a_name_or_none(host: str) -> None:
    assert is_loopback(name_in(host)) in (True, False)
