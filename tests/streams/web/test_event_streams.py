"""Open pages: bounded queues, a bounded number."""

import asyncio

import pytest

from streams.web.event_streams import MAX_QUEUED, Streams, TooManyStreams


class Count:
    def __init__(self) -> None:
        self.dropped = 0

    def __call__(self) -> None:
        self.dropped += 1


async def test_slow_page_loses_the_oldest_messages_and_they_are_counted() -> None:
    count = Count()
    streams = Streams(2, count)
    slow, fast = streams.open(None), streams.open(None)
    taken = []
    for number in range(MAX_QUEUED + 3):
        streams.tell(f"{number};".encode())
        taken.append(await fast.take())
    assert count.dropped == 3
    assert b"".join(filter(None, taken)).count(b";") == MAX_QUEUED + 3
    left = await slow.take()
    assert left is not None
    assert left.split(b";")[0] == b"3"
    assert left.count(b";") == MAX_QUEUED


async def test_page_beyond_the_limit_is_refused_until_another_closes() -> None:
    streams = Streams(1, Count())
    first = streams.open("u")
    with pytest.raises(TooManyStreams):
        streams.open(None)
    streams.close(first)
    streams.close(first)
    assert len(streams) == 0
    assert not streams.followed("u")
    streams.open(None)


async def test_list_goes_to_the_followers_of_its_user() -> None:
    streams = Streams(3, Count())
    one, other, neither = streams.open("u"), streams.open("v"), streams.open(None)
    streams.tell_followers("u", b"list")
    streams.tell_followers("stranger", b"list")
    streams.tell(b"feed")
    assert [await each.take() for each in (one, other, neither)] == [b"listfeed", b"feed", b"feed"]


async def test_closed_stream_ends_its_reader() -> None:
    streams = Streams(1, Count())
    stream = streams.open(None)
    reading = asyncio.create_task(stream.take())
    await asyncio.sleep(0)
    streams.close_all()
    assert await reading is None
    assert await stream.take() is None
