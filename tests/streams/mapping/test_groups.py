"""The groups in which mapped records are sent."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.events import Event, EventKind
from streams.fold.context import EMPTY, MAX_IDS, Context, fold
from streams.mapping.groups import MOST_OF_A_USER, MOST_RECORDS, Group, Place
from streams.mapping.outcomes import Mapped, Skipped

PLACE = Place("clicks", 0)
LETTER = DeadLetter(code=Refusal.INVALID, detail="", topic="clicks", partition=0, offset=0, ts=0)


def of(user: str) -> Mapped:
    return Mapped("ouzel.events", user.encode(), b"")


def test_group_counts_outcomes_and_knows_the_next_offsets() -> None:
    group = Group()
    assert not group
    group.add(PLACE, 4, [of("ann"), Mapped("ouzel.items", b"i", b"")])
    group.add(PLACE, 5, [Mapped("ouzel.items", b"i", None)])
    group.add(Place("other", 1), 9, [Skipped("rule")])
    group.add(PLACE, 6, [LETTER])
    assert group
    assert group.behind == {PLACE: 7, Place("other", 1): 10}
    assert group.outcomes == {
        ("clicks", "mapped"): 2,
        ("clicks", "withdrawn"): 1,
        ("clicks", "rejected"): 1,
        ("other", "skipped"): 1,
    }
    assert group.skips == {("other", "rule"): 1}
    assert group.letters == [LETTER]
    assert len(group.results) == 4


def test_group_is_bounded() -> None:
    group = Group()
    for offset in range(MOST_RECORDS):
        assert group.has_room([of(str(offset))])
        group.add(PLACE, offset, [of(str(offset))])
    assert not group.has_room([of("more")])


@given(st.lists(st.sampled_from("ab"), max_size=80), st.data())
def test_repeated_group_is_folded_once(users: list[str], data: st.DataObject) -> None:
    """A group that is sent again, behind as many other events of its users, changes nothing."""
    context: dict[str, Context] = {}
    offset = folded = 0

    def fold_one(user: str, identifier: str) -> bool:
        nonlocal offset
        before = context.get(user, EMPTY)
        offset += 1
        event = Event(id=identifier, user=user, kind=EventKind.VIEW, ts=0, item="i")
        context[user] = fold(before, event, offset)
        return context[user].ids != before.ids

    groups: list[list[tuple[str, str]]] = [[]]
    group = Group()
    for number, user in enumerate(users):
        if not group.has_room([of(user)]):
            groups.append([])
            group = Group()
        group.add(PLACE, number, [of(user)])
        groups[-1].append((user, str(number)))
    for sent in groups:
        folded += sum(fold_one(*each) for each in sent)
        if data.draw(st.booleans()):
            for number in range(MAX_IDS - MOST_OF_A_USER):
                for user in "ab":
                    fold_one(user, f"elsewhere-{offset}-{number}")
            assert not any(fold_one(*each) for each in sent)
    assert folded == len(users)
