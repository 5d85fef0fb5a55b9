"""Fuzz targets: readers of untrusted bytes besides the decoders of the contract (`tests.fuzz.contract`), with valid
inputs to damage.

A target returns the outcome of an input as a word, and raises on a wrong outcome.
"""

import math
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from deploy.errors import BadSource
from deploy.files.event_files import EventFile
from deploy.files.item_files import item_file
from inference import wire
from inference.errors import RequestRefused
from inference.training import feedback
from schemas.blends import BlendPart, LearnedSignal
from schemas.codec import encode
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.limits import MAX_DETAIL_LENGTH
from schemas.privacy import ErasureOrder
from schemas.scoring import Candidate, Past, ScoreRequest
from streams.agents.erasure_orders import forward
from streams.agents.items import refused, stock
from streams.candidates.registry import BUILT_IN_COLUMNS
from streams.clock import SYSTEM
from streams.errors import BadSetting
from streams.fold.attribution import Exposed, Exposure
from streams.fold.batch import fold_batch
from streams.fold.context import EMPTY, Context, fold
from streams.fold.draft import Draft
from streams.graph.item_graph import ItemGraph
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.privacy.erasure import Erasure, Versions, covers
from streams.ranking.blend import MOST, Blend
from streams.ranking.gain import Gain
from streams.secret import Secret
from streams.serving.blends import Blends
from streams.settings import PREFIX, Settings, read_settings
from streams.state.records import decode_value
from streams.state.store import BLEND, CONTEXT, ERASURE, EXPOSURE, GAIN, PART, VERSIONS, header, seal
from streams.web.guard import allowed
from tests.fuzz.mappings import FILES, RECORDS, file_read, record_mapped
from tests.schemas.examples import EXAMPLES, NOW

CORPUS = Path(__file__).parent / "corpus"


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 7


@dataclass(frozen=True)
class Target:
    """`seeds` are valid inputs; `tried` returns the outcome of one. `share` is the weight of the target."""

    seeds: tuple[bytes, ...]
    tried: Callable[[bytes], str]
    share: int = 10


class OneUserState:
    """A state with one known user, who was erased at offset 5."""

    erased_to = 5

    def __init__(self) -> None:
        event = Event(id="e", user="ann", kind=EventKind.LIKE, ts=NOW, item="heat")
        self._known = fold(EMPTY, event, 6)
        self._erasure = Erasure(b"o" * 16, b"p" * 8, 5, NOW)

    def context(self, user: str) -> Context:
        return self._known if user == "ann" else EMPTY

    def draft(self, user: str) -> Draft:
        return Draft(self.context(user))

    def exposure(self, user: str) -> Exposure:
        return EXPOSURE_OF_ANN if user == "ann" else Exposure()

    def versions(self, user: str) -> Versions:
        return Versions(("m",))

    def erasure(self, order: bytes) -> Erasure | None:
        return None

    def erased(self, user: str, offset: int) -> bool:
        return covers(self._erasure, user, offset)


EXPOSURE_OF_ANN = Exposure((Exposed("l", NOW - 10, "home", "m", ("heat", "alien"), (0.5, 0.5)),))
STATE = OneUserState()
EVENT_SEEDS = tuple(
    encode(Event(id="e-1", user="ann", kind=kind, ts=NOW, item="heat", value=4.0, text="more", target="e-0", list="l"))
    for kind in EventKind
)


def folded(value: bytes) -> str:
    """Every record of a batch is folded, a repeat, or a dead letter with its bytes: there is no fourth outcome."""
    records = [Record(b"ann", value, offset=7), Record(b"ann", EVENT_SEEDS[0], offset=8)]
    made = fold_batch(records, STATE, partition=0, now_ms=NOW, window_ms=1_000)
    assert sum(made.kinds.values()) + made.repeats + len(made.dead) == 2
    assert made.last == 8
    for letter in made.dead:
        assert (letter.value, letter.code) == (value, letter.code)
        assert len(letter.detail) <= MAX_DETAIL_LENGTH
        assert letter.code != "failed", letter.detail
    return made.dead[0].code.value if made.dead else "folded"


def ordered(value: bytes) -> str:
    outputs, dead = forward([Record(b"ann", value)], NOW)
    assert len(outputs) + len(dead) == 1
    return dead[0].code.value if dead else "forwarded"


def stocked(value: bytes) -> str:
    catalogue = Catalogue()
    stock(catalogue, b"heat", value)
    dead = refused([Record(b"heat", value)], NOW)
    assert len(catalogue) + len(dead) == 1
    assert not dead or dead[0].code != "failed", dead[0].detail
    return dead[0].code.value if dead else "stocked"


def scored(value: bytes) -> str:
    try:
        request = wire.decode(value)
    except RequestRefused:
        return "refused"
    assert wire.decode(wire.encode(request)) == request
    return "accepted"


def learned(value: bytes) -> str:
    found = feedback.read([value], {"ann": 10})
    feedback.erased([value])
    return "learned" if found.events else "untaken" if found.untaken else "erased" if found.erased else "refused"


def kept(value: bytes) -> str:
    """A value of the changelog: invalid ones raise one of these errors, on which a partition restarts."""
    try:
        header(value)
        decode_value(value[-1:] if value[-1:] in STATE_KEYS else CONTEXT, value[:-1])
    except (struct.error, msgspec.MsgspecError, UnicodeDecodeError):
        return "refused"
    return "accepted"


def counted(value: bytes) -> str:
    """A record of the item graph, read by the code of owners and of replicas."""
    from schemas.codec import decode
    from schemas.neighbours import Covisits, Neighbours

    graph = ItemGraph(Catalogue().index)
    with suppress(Refused):
        graph.load(decode(Neighbours, value))
        graph.load(decode(Neighbours, value))  # twice, as its owner also reads it back
    try:
        graph.learn(decode(Covisits, value))
    except Refused as error:
        return error.code.value
    return "counted"


def shared(value: bytes) -> str:
    """What another worker's partition learned: whatever it is, the blend stays within its bounds."""
    try:
        BLENDS.apply(0, b"3:home", value)
    except Refused as error:
        return error.code.value
    blend = BLENDS.blend("home")
    assert max(map(abs, blend.weights)) <= MOST
    assert all(map(math.isfinite, (*blend.squares, blend.model_weight, blend.model_square, blend.advantage)))
    return "accepted"


def set_to(value: bytes) -> str:
    """A setting: name, a zero byte, and value."""
    name, _, text = value.partition(b"\0")
    variable = PREFIX + name.decode("utf-8", "surrogateescape").upper()
    try:
        settings = read_settings({variable: text.decode("utf-8", "surrogateescape")})
    except BadSetting as error:
        said = str(error)
    else:
        repr(settings)
        return "default" if settings == Settings() else "set"
    if len(text) > 8 and any(secret in variable for secret in ("PASSWORD", "TOKEN", "PSEUDONYM")):
        assert text.decode("utf-8", "surrogateescape") not in said
    return "refused"


def presented(value: bytes) -> str:
    text = value.decode("latin-1")
    token = "the token of the fuzzer"
    assert allowed(text, Secret(token)) is (text.partition(" ")[2].strip() == token and text[:7].lower() == "bearer ")
    return "checked"


def filed(value: bytes) -> str:
    """A user's file of events or items; the first byte selects which, and the extension."""
    kinds = (".csv", ".tsv", ".jsonl", ".parquet")
    with tempfile.TemporaryDirectory(prefix="ouzel-fuzz-") as folder:
        path = Path(folder) / f"given{kinds[(value[0] if value else 0) % 4]}"
        path.write_bytes(value[1:])
        try:
            with EventFile(path) if (value[0] if value else 0) < 128 else item_file(path) as file:
                found = list(file)
        except BadSource:
            return "refused"
    return "read" if found else "empty"


BLENDS = Blends(BUILT_IN_COLUMNS, Metrics(), SYSTEM)
SHARED = BlendPart(
    id="3:home",
    partition=3,
    scene="home",
    lists=2,
    modifiers=("user_events",),
    signals={"trend": LearnedSignal(1e30, 1e30, (1.0,), (2.0,))},
)
STATE_KEYS = (CONTEXT, EXPOSURE, BLEND, PART, VERSIONS, ERASURE, GAIN)
REQUEST = ScoreRequest(
    session=7,
    scene="home",
    history=(Past("Heat", "like", item="heat", about="crime", feeling=2, ts=NOW),),
    candidates=(Candidate("Alien", item="alien"),),
    steer=("more crime",),
)
CSV = b"user,item,timestamp,rating\nann,heat,881250949,5\nbob,heat,881250950,4\n"

TARGETS = {
    "fold": Target(EVENT_SEEDS, folded, 30),
    "order": Target((encode(ErasureOrder(id="o", user="ann", ts=NOW)),), ordered),
    "item": Target(tuple(encode(EXAMPLES[name]) for name in ("item.full", "item.minimal")), stocked),
    "graph": Target(tuple(encode(each) for name, each in EXAMPLES.items() if name[:3] in ("cov", "nei")), counted),
    "blend": Target((encode(EXAMPLES["blend_part.full"]), encode(SHARED)), shared),
    "scoring": Target(
        tuple(
            wire.encode(each)
            for each in (REQUEST, wire.DescribeRequest((Candidate("Heat"),)), wire.ForgetRequest((1, 2)))
        ),
        scored,
    ),
    "training": Target(
        tuple(msgspec.json.encode({"value": each}) for name, each in EXAMPLES.items() if name[:4] in ("feed", "eras")),
        learned,
    ),
    "state": Target(
        tuple(
            seal(7, NOW, msgspec.msgpack.encode(each)) + key
            for key, each in zip(
                STATE_KEYS,
                (
                    STATE.context("ann"),
                    EXPOSURE_OF_ANN,
                    Blend(),
                    EXAMPLES["blend_part.full"],
                    Versions(("m",)),
                    Erasure(b"o", b"p", 1, 2),
                    Gain("m"),
                ),
                strict=True,
            )
        ),
        kept,
    ),
    "setting": Target(
        (b"web_port\0007000", b"security\0ssl", b"web_token\0some-token-of-mine", b"exploration\0000.5"), set_to
    ),
    "mapping": Target(RECORDS, record_mapped),
    "mapping_file": Target(tuple(text.encode() for text in FILES), file_read),
    "token": Target((b"Bearer the token of the fuzzer", b"Basic eDp5"), presented),
    "file": Target(
        (
            b"\x00" + CSV,
            b"\x01" + CSV.replace(b",", b"\t"),
            b'\x02{"user":"ann","item":"heat","ts":1}\n',
            b"\x80" + CSV,
        ),
        filed,
        1,
    ),
}


def corpus(name: str) -> list[bytes]:
    """The corpus files of a target."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
