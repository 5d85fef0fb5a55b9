"""Golden bytes of every supported version: a change that breaks records on users' topics fails here."""

import json

import msgpack
import pytest

from schemas.codec import decode, encode
from tests.schemas.examples import EXAMPLES
from tests.schemas.goldens import FOLDER, plain, version_of

GOLDENS = sorted(path.name.removesuffix(".msgpack") for path in FOLDER.glob("*.msgpack"))


def holds(read: object, meant: object) -> bool:
    """Whether everything that was meant is read; fields that were added since have their defaults."""
    if isinstance(read, dict) and isinstance(meant, dict):
        return all(name in read and holds(read[name], each) for name, each in meant.items())
    if isinstance(read, list) and isinstance(meant, list):
        return len(read) == len(meant) and all(map(holds, read, meant))
    return read == meant


@pytest.mark.parametrize("golden", GOLDENS)
def test_golden_bytes_keep_their_meaning(golden):
    message_type = type(EXAMPLES[golden.rpartition(".v")[0]])
    read = plain(decode(message_type, (FOLDER / f"{golden}.msgpack").read_bytes()))
    meant = json.loads((FOLDER / f"{golden}.json").read_text())
    if golden.endswith(f".v{version_of(EXAMPLES[golden.rpartition('.v')[0]])}"):
        assert holds(read, meant)


@pytest.mark.parametrize("name", EXAMPLES)
def test_writer_output_stays_compatible_with_its_version(name):
    now = msgpack.unpackb(encode(EXAMPLES[name]), strict_map_key=False)
    path = FOLDER / f"{name}.v{now['v']}.msgpack"
    assert path.exists(), "run `python -m tests.schemas.goldens` and commit what it writes"
    known = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    assert {field: now[field] for field in known} == known
