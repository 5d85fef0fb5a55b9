"""Sending records and waiting until the broker has them."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.topics import DEAD_LETTERS, FEEDBACK
from streams.kafka.publisher import Output, Publisher


class Producer:
    """A producer whose broker accepts values of at most `most` bytes; it refuses others at once or in its answer."""

    def __init__(self, most: int, *, at_once: bool = True) -> None:
        self.most, self.at_once = most, at_once
        self.taken: list[Output] = []
        self.fails = False

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> "asyncio.Future[None]":
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(value or b"") > self.most:
            if self.at_once:
                raise MessageSizeTooLargeError
            answer.set_exception(MessageSizeTooLargeError())
        elif self.fails:
            answer.set_exception(KafkaTimeoutError())
        else:
            self.taken.append(Output(topic, key, value))
            answer.set_result(None)
        return answer


class Batching:
    """A producer that batches records until its answers are awaited; a batch has at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[Output] = []
        self._batch: list[tuple[Output, asyncio.Future[None]]] = []

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None) -> "asyncio.Future[None]":
        loop = asyncio.get_running_loop()
        if not self._batch:
            loop.call_soon(self._deliver)
        self._batch.append((Output(topic, key, value), loop.create_future()))
        return self._batch[-1][1]

    def _deliver(self) -> None:
        batch, self._batch = self._batch, []
        fits = sum(len(each.value or b"") for each, _ in batch) <= self.most
        for each, answer in batch:
            if fits:
                self.taken.append(each)
                answer.set_result(None)
            else:
                answer.set_exception(MessageSizeTooLargeError())


def letter(size: int) -> Output:
    original = b"\xff" * size
    dead = DeadLetter(
        code=Refusal.TOO_LARGE,
        detail="too large",
        topic="ouzel.events",
        partition=1,
        offset=2,
        ts=3,
        key=b"ann",
        value=original,
    )
    return Output(DEAD_LETTERS.name, b"ann", encode(dead))


async def test_records_are_all_sent_in_order() -> None:
    producer = Producer(1_000)
    outputs = [Output(FEEDBACK.name, b"ann", b"%d" % number) for number in range(5)]
    await Publisher(lambda: producer)(outputs)
    assert producer.taken == outputs


@pytest.mark.parametrize("at_once", [True, False])
async def test_oversized_dead_letter_is_sent_without_the_original_bytes(at_once: bool) -> None:
    producer: Any = Producer(500, at_once=at_once)
    await Publisher(lambda: producer)([letter(600), letter(10)])
    slim, whole = sorted((decode(DeadLetter, each.value) for each in producer.taken), key=lambda each: bool(each.value))
    assert (slim.value, slim.partition, slim.offset, slim.code) == (None, 1, 2, Refusal.TOO_LARGE)
    assert "600 bytes" in slim.detail
    assert whole.value == b"\xff" * 10


@pytest.mark.parametrize("at_once", [True, False])
async def test_record_too_large_for_its_topic_is_dropped_and_logged(
    at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    producer, given_up = Producer(10, at_once=at_once), list[str]()
    outputs = [Output(FEEDBACK.name, b"ann", b"x" * 11), Output(FEEDBACK.name, b"ann", b"x" * 9)]
    await Publisher(lambda: producer, given_up.append)(outputs)
    assert producer.taken == outputs[1:]
    assert given_up == [FEEDBACK.name]
    assert "14 bytes was not published: ouzel.feedback" in caplog.text
    assert "max.message.bytes" in caplog.text


async def test_dead_letter_too_large_without_the_original_bytes_is_dropped() -> None:
    producer, given_up = Producer(10), list[str]()
    await Publisher(lambda: producer, given_up.append)([letter(600)])
    assert (producer.taken, given_up) == ([], [DEAD_LETTERS.name])


async def test_oversized_batch_is_sent_record_by_record() -> None:
    """A broker refuses whole batches: three records that each fit may not fit together."""
    producer = Batching(25)
    outputs = [Output(FEEDBACK.name, b"ann", b"%d" % number * 10) for number in range(3)]
    given_up = list[str]()
    await Publisher(lambda: producer, given_up.append)(outputs)
    assert (producer.taken, given_up) == (outputs, [])


async def test_failed_send_is_raised() -> None:
    producer = Producer(10)
    producer.fails = True
    with pytest.raises(KafkaTimeoutError):
        await Publisher(lambda: producer)([Output(FEEDBACK.name, b"ann", b"x")])


async def test_record_that_is_dropped_is_an_error_for_those_who_need_every_record() -> None:
    producer, dropped = Producer(10), list[str]()
    publisher = Publisher(lambda: producer, dropped.append)
    small, large = Output(FEEDBACK.name, b"k", b"v"), Output(FEEDBACK.name, b"k", b"v" * 11)
    await publisher.every([small])
    with pytest.raises(MessageSizeTooLargeError):
        await publisher.every([small, large])
    assert (producer.taken, dropped) == ([small, small], [FEEDBACK.name])
    await publisher([large])
