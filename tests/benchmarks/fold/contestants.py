"""How to start each contestant, its changelog topic, and how to read its records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.topics import CONTEXTS, EVENTS
from streams.fold.context import Context, digest
from streams.settings import throwaway, to_environment
from streams.state.records import decode_value
from streams.state.store import CONTEXT
from tests.benchmarks import environments
from tests.benchmarks.fold.job import decode_state
from tests.support.workers import WITHOUT_MODEL

ROOT = Path(__file__).resolve().parents[3]

Common = tuple[str, list[int], list[tuple[str, str, int]], int]
"""The common part of a user's state: the user; the digests of the last 32 event ids; item, kind and time of the last 50
events; the total number of events."""


@dataclass(frozen=True)
class Place:
    """The place of a run: the brokers, a separate folder, a unique name, and the partitions."""

    brokers: str
    folder: Path
    name: str
    partitions: int
    port: int

    @property
    def input(self) -> str:
        return f"{self.name}-events"


@dataclass(frozen=True)
class Contestant:
    """`topics` gives the input topic and the changelog. `user` is who a changelog key is of, None for other records;
    `common` is what stands in a value. `share` is the part of the events that it gets. `counts`: it is through
    when every event is counted into its item graph too."""

    name: str
    command: Callable[[Place, Path], list[str]]
    topics: Callable[[Place], tuple[str, str]]
    user: Callable[[bytes], str | None]
    common: Callable[[bytes], Common]
    environment: Callable[[Place], Mapping[str, str]] = field(default=lambda _: {})
    share: float = 1.0
    ours: bool = False
    counts: bool = False

    @property
    def makes_no_topic(self) -> bool:
        return self.name.startswith("bytewax")


def _peer(
    name: str,
    module: str,
    changelog: Callable[[Place], str],
    *more: str,
    key: Callable[[bytes], bytes] = bytes,
    share: float = 1.0,
) -> Contestant:
    def command(place: Place, peers: Path) -> list[str]:
        program = [str(environments.python(name.partition("_")[0], peers)), "-m", f"tests.benchmarks.fold.{module}"]
        where = [place.brokers, place.input, place.name, str(place.folder), str(place.partitions), changelog(place)]
        return [*program, *where, *more]

    return Contestant(
        name,
        command,
        lambda place: (place.input, changelog(place)),
        lambda raw: key(raw).decode(),
        _of_peer,
        environment=lambda _: {"PYTHONPATH": str(ROOT)},
        share=share,
    )


def _of_peer(value: bytes) -> Common:
    state = decode_state(value)
    return state.user, [digest(each) for each in state.ids], state.recent, state.met


def _ouzel(name: str, *, counts: bool = False, share: float = 1.0, **settings: object) -> Contestant:
    def environment(place: Place) -> Mapping[str, str]:
        chosen = throwaway(place.brokers, app_id=place.name, state_dir=place.folder, web_port=place.port, **settings)
        return to_environment(chosen)

    return Contestant(
        name,
        lambda *_: WITHOUT_MODEL,
        lambda _: (EVENTS.name, CONTEXTS.name),
        lambda raw: raw[1:].decode() if raw[:1] == CONTEXT else None,
        _of_ouzel,
        environment=environment,
        ours=True,
        counts=counts,
        share=share,
    )


def _of_ouzel(value: bytes) -> Common:
    # The user is in the key, which the caller knows.
    context: Context = decode_value(CONTEXT, value)
    scene = context.scenes["home"]
    recent = [(done.item, done.kind.value, done.ts) for done in scene.recent]
    return "", list(context.ids), recent, scene.met


ALL = (
    _ouzel("ouzel", duties="contexts"),
    _ouzel("ouzel_whole", counts=True, share=0.1),
    _peer("faust", "faust_agent", lambda place: f"{place.name}-contexts-changelog", share=0.1),
    _peer(
        "quix",
        "quix",
        lambda place: f"changelog__{place.name}--{place.input}--default",
        key=lambda raw: raw.partition(b"|")[0],
    ),
    _peer("bytewax", "bytewax_flow", lambda place: f"{place.name}-contexts"),
    _peer("bytewax_bare", "bytewax_flow", lambda place: f"{place.name}-contexts", "bare"),
)
