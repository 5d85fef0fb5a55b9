"""A store and topics with a few versions of every kind, for the tables of `ouzel models`."""

from pathlib import Path

import msgspec

from deploy.learning.store_facts import read_known
from inference.versions.rules import Rules
from inference.versions.state import State
from inference.versions.store import Gate, Learned, Verdict, Version, VersionStore
from schemas.models import Comparison, ModelAck, ModelStatus, Role

NOW = 1_796_000_000_000
MIN, HOUR = 60_000, 3_600_000


def written(root: Path) -> VersionStore:
    """Versions 2 (promoted, then retired), 3 (failed a gate), 4 (champion), 5 (withdrawn), 6 (in the canary stage)."""
    store = VersionStore(root)
    behind = 0
    for number, parent, age, kind in (
        (2, 1, 30 * HOUR, "full"), (3, 2, 26 * HOUR, "full"), (4, 2, 20 * HOUR, "items"), (5, 4, 7 * HOUR, "full"),
        (6, 4, 55 * MIN, "full"),
    ):  # fmt: skip
        first, behind = behind, behind + 3_312
        record = Version(
            number=number, name=f"smollm2-135m-instruct-bf16-{number:08x}", parent=parent, kind=kind,  # type: ignore[arg-type]
            made_ms=NOW - age, cut_ms=NOW - age - 2 * MIN, events=9_312 + number, likes=2_120 + number, tests=410,
            learned=tuple(Learned(topic="ouzel.events", partition=p, first=first, behind=behind) for p in (3, 0)),
            seconds=74.2, cpu_seconds=131.0, peak_mib=911.0,
        )  # fmt: skip
        with store.written(number) as folder:
            (folder / "version.json").write_bytes(msgspec.json.encode(record))
        store.set_gates(number, gates(bad=number == 3))
    name = "smollm2-135m-instruct-bf16-{:08x}".format

    def add(number: int, age: int, event: str, reason: str, **more: float) -> None:
        at = msgspec.convert({"ts": NOW - age, "event": event, "reason": reason, "champion": name(2), **more}, Verdict)
        store.add_verdict(number, at)

    add(2, 29 * HOUR, "shadow", "compared by 2 workers")
    add(2, 28 * HOUR, "canary", "a loss of hit ratio of 0.02 or more is ruled out", difference=0.014, low=-0.011,
        high=0.039, pairs=1_411)  # fmt: skip
    add(2, 27 * HOUR, "promoted", "no loss of hit ratio above 0.02 was seen in 500 likes on its lists", difference=0.02,
        low=-0.09, high=0.13, pairs=500, lists=2_913)  # fmt: skip
    add(2, 19 * HOUR, "retired", "replaced")
    add(3, 26 * HOUR, "rejected", "gate next item: HR@10 of .241 against .262; train on more events.")
    add(4, 19 * HOUR, "promoted", "a loss of hit ratio of 0.02 or more is ruled out", difference=0.009, low=-0.013,
        high=0.031, pairs=1_822)  # fmt: skip
    add(5, 6 * HOUR, "shadow", "compared by 2 workers")
    add(5, 4 * HOUR, "withdrawn", "the hit ratio of its lists is lower by 0.012 or more", difference=-0.08, low=-0.148,
        high=-0.012, pairs=812, lists=4_018)  # fmt: skip
    return store


def gates(*, bad: bool = False) -> list[Gate]:
    quality = 0.241 if bad else 0.271
    against = f"HR@10 of {quality:.3f} against .262 on the newest 410 likes" + (
        "; train on more events." if bad else "."
    )
    return [
        Gate(name="next item", figure=quality - 0.262, threshold=-0.01, passed=not bad, low=-0.03, high=0.03,
             text=against),
        Gate(name="calibration", figure=0.021, threshold=0.05, passed=True, low=0.012, high=0.03,
             text="Scores are off by .021 on average (ECE), .024 for the champion."),
        Gate(name="p99", figure=41.2, threshold=1.25, passed=True,
             text="41.2 ms a list in Triton, 39.8 for the champion."),
    ]  # fmt: skip


def records() -> list[ModelStatus]:
    def record(number: int, role: Role, age: int, reason: str, share: float = 0.0) -> ModelStatus:
        version = f"smollm2-135m-instruct-bf16-{number:08x}"
        return ModelStatus(model="scorer", version=version, role=role, ts=NOW - age, number=number, reason=reason,
                           share=share, salt=version if share else "")  # fmt: skip

    return [
        record(1, Role.RETIRED, 27 * HOUR, "replaced"),
        record(2, Role.RETIRED, 19 * HOUR, "replaced"),
        record(4, Role.CHAMPION, 19 * HOUR, "a loss of hit ratio of 0.02 or more is ruled out"),
        record(5, Role.RETIRED, 4 * HOUR, "the hit ratio of its lists is lower by 0.012 or more"),
        record(6, Role.CANARY, 20 * MIN, "a loss of hit ratio of 0.02 or more is ruled out", 0.1),
    ]


def acks() -> list[ModelAck]:
    champion, challenger = records()[2].version, records()[4].version
    return [
        ModelAck(worker="worker-0", behind=5, ts=NOW - 2_000, shown=611, champion=champion, challenger=challenger),
        ModelAck(
            worker="worker-1", behind=5, ts=NOW - 4_000, shown=580, lacking=12, champion=champion, challenger=challenger
        ),
        ModelAck(worker="worker-2", behind=2, ts=NOW - 9 * HOUR),
    ]


def comparisons(count: int) -> list[Comparison]:
    return [
        Comparison(id=str(n), list="l", scene="s", ts=1, champion=records()[2].version, challenger=records()[4].version,
                   champion_hit=n % 4 == 0, challenger_hit=n % 4 == 0, canary=n % 10 == 0)
        for n in range(count)
    ]  # fmt: skip


def told(store: VersionStore, rules: Rules, likes: int = 1_240) -> State:
    """The state that a learner has of all this."""
    state = State()
    for offset, status in enumerate(records()):
        state.take_record(status, offset, rules)
    for ack in acks():
        state.take_ack(ack)
    state.versions, _ = read_known(store)
    for comparison in comparisons(likes):
        state.take_comparison(comparison, NOW)
    return state
