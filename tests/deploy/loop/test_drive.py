"""The driver of a pass, with a broker that answers or does not."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from deploy.loop.companion import Alone
from deploy.loop.drive import Drive
from deploy.loop.judging import Account
from schemas.codec import encode
from schemas.events import Event
from schemas.topics import EVENTS, Topic
from tests.deploy.loop.test_judging import made
from tests.deploy.loop.test_split import rated
from tests.support.patience import PATIENCE


class Record:
    def __init__(self, value: bytes) -> None:
        self.value = value


class Pipeline:
    """A sink whose events are answered by the lists that `answers` gives, and the consumer of these lists."""

    def __init__(self, answers: Callable[[Event], list[bytes]]) -> None:
        self.sent: list[Event] = []
        self._answers = answers
        self._lists: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None:
        assert isinstance(message, Event)
        assert (topic, key) == (EVENTS, message.user)
        self.sent.append(message)
        for one in self._answers(message):
            self._lists.put_nowait(one)

    async def flush(self) -> None: ...

    def __aiter__(self) -> "Pipeline":
        return self

    async def __anext__(self) -> Record:
        return Record(await self._lists.get())


def listed(event: Event) -> list[bytes]:
    return [encode(made(int(event.id[1:]), event.user, "i1", "i2"))]


async def replay(drive: Drive, pipeline: Pipeline, live: list[Event]) -> None:
    async with asyncio.timeout(PATIENCE):
        taking = asyncio.create_task(drive._take_in(pipeline))
        await drive._send(pipeline, live)
        taking.cancel()
        await asyncio.wait([taking])


async def test_each_like_is_judged_by_the_list_of_the_event_before() -> None:
    live = [rated(at, user, f"i{at % 4}") for at, user in enumerate("aabab")]
    account = Account({event.id for event in live[1:]}, 1_000.0)
    pipeline = Pipeline(listed)
    await replay(Drive(account, Alone(), in_flight=2, window=5), pipeline, live)
    assert sorted(event.id for event in pipeline.sent) == [event.id for event in live]
    for user in "ab":
        assert [e.id for e in pipeline.sent if e.user == user] == [e.id for e in live if e.user == user]
    assert account.places == {"e1": 0, "e2": -1, "e3": -1, "e4": -1}
    assert (account.lost, account.without_list) == (0, 1)
    assert all(event.ts > 1_000_000 for event in pipeline.sent), "stamped with the time of sending"


async def test_lost_list_holds_its_user_for_a_while_only() -> None:
    live = [rated(at, "a", "i1") for at in range(3)]
    account = Account({"e2"}, 1_000.0)
    pipeline = Pipeline(lambda event: [] if event.id == "e0" else listed(event))
    drive = Drive(account, Alone(), in_flight=1, window=3, give_up_seconds=0.05)
    await replay(drive, pipeline, live)
    assert [event.id for event in pipeline.sent] == ["e0", "e1", "e2"]
    assert (account.lost, drive.given_up, account.lists) == (1, 1, 2)


async def test_late_answer_does_not_release_the_next_event() -> None:
    held: list[bytes] = []

    def answers(event: Event) -> list[bytes]:
        if event.id == "e0":
            held.extend(listed(event))
            return []
        return [*held] if event.id == "e1" else listed(event)

    live = [rated(at, "a", "i1") for at in range(3)]
    account = Account((), 1_000.0)
    drive = Drive(account, Alone(), in_flight=1, window=3, give_up_seconds=0.05)
    await replay(drive, Pipeline(answers), live)
    assert (account.lists, account.lost, drive.given_up) == (2, 1, 2), "e1 has no list, though one came meanwhile"


async def test_unreadable_list_is_lost() -> None:
    account = Account((), 1_000.0)
    drive = Drive(account, Alone(), in_flight=1, window=1, give_up_seconds=0.05)
    await replay(drive, Pipeline(lambda _: [b"?"]), [rated(0, "a", "i1")])
    assert account.lost == 1


async def test_companion_may_hold_likes_and_nothing_else() -> None:
    asked: list[int] = []

    class Holding(Alone):
        async def before_like(self, sent: int) -> None:
            asked.append(sent)

    live = [rated(0, "a", "i1"), rated(1, "a", "i2", 1.0), rated(2, "a", "i3")]
    await replay(Drive(Account((), 1_000.0), Holding(), in_flight=1, window=1), Pipeline(listed), live)
    assert asked == [0, 1]


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_no_more_users_wait_than_allowed(in_flight: int) -> None:
    live = [rated(at, f"u{at}", "i1") for at in range(6)]
    waiting: list[str] = []

    class Counting(Pipeline):
        async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None:
            waiting.append(key)
            assert len(waiting) - account.lists <= in_flight
            await super().send(topic, key, message)

    account = Account((), 1_000.0)
    await replay(Drive(account, Alone(), in_flight=in_flight, window=6), Counting(listed), live)
    assert account.lists == 6
