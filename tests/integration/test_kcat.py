"""A stranger with nothing but kcat: JSON events in, a list out; garbage comes back as a dead letter with its bytes.

On Apache Kafka alone: the librdkafka 2.0.2 of Debian's kcat cannot read the embedded broker's first answer.
"""

import json
import subprocess
import time
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.recommendations import Degraded, Recommendation
from schemas.topics import DEAD_LETTERS, EVENTS, RECOMMENDATIONS
from tests.support.parts import need_kcat
from tests.support.pipeline import Pipeline, films

pytestmark = [pytest.mark.kafka, pytest.mark.parametrize("broker", ["kafka"], indirect=True, scope="module")]


def kcat(program: str, broker: Broker, *options: str, stdin: bytes = b"") -> bytes:
    command = [program, "-b", broker.bootstrap, *options]
    return subprocess.run(command, input=stdin, check=True, capture_output=True, timeout=60).stdout


async def test_json_events_of_a_new_user_make_a_list(broker: Broker, tmp_path: Path) -> None:
    program = need_kcat()
    with Pipeline(broker, tmp_path, triton="") as path:
        await path.prepare(films())
        path.start()
        for number, item in enumerate(("film-3", "film-8")):
            event = {
                "id": f"kcat-{broker.name}-{number}",
                "user": "newcomer",
                "kind": "like",
                "item": item,
                "ts": time.time_ns() // 1_000_000,
            }
            line = b"newcomer|" + json.dumps(event).encode()
            partitioner = ("-X", "topic.partitioner=murmur2_random")
            kcat(program, broker, "-P", "-t", EVENTS.name, "-K", "|", *partitioner, stdin=line)
            lists = await path.read(
                RECOMMENDATIONS, Recommendation, lambda out, n=number: any(r.trigger.endswith(f"-{n}") for r in out)
            )
        newest = lists[-1]
        assert newest.user == "newcomer"
        assert newest.degraded is Degraded.DISABLED
        assert len(newest.entries) == 10
        assert not {"film-3", "film-8"} & {entry.item for entry in newest.entries}
        assert all(entry.reason.text for entry in newest.entries)
        assert "newcomer" not in path.log()
        # kcat sees the same list: one MessagePack map under the person's key.
        out = kcat(program, broker, "-C", "-t", RECOMMENDATIONS.name, "-e", "-q", "-f", "%k %S\n")
        assert out.count(b"newcomer ") == len(lists)


async def test_garbage_becomes_a_dead_letter_with_exactly_its_bytes(broker: Broker, tmp_path: Path) -> None:
    program = need_kcat()
    garbage = bytes(range(256)).replace(b"\n", b"")
    with Pipeline(broker, tmp_path, triton="") as path:
        await path.prepare(films())
        path.start()
        before = time.time_ns() // 1_000_000
        kcat(program, broker, "-P", "-t", EVENTS.name, "-k", "user-4711", stdin=garbage)
        letters = await path.read(DEAD_LETTERS, DeadLetter, lambda out: any(letter.value == garbage for letter in out))
        letter = next(x for x in letters if x.value == garbage)
        assert letter.code is Refusal.MALFORMED
        assert letter.key == b"user-4711"
        assert letter.topic == EVENTS.name
        assert letter.offset >= 0
        assert letter.ts >= before
