"""The tables of `ouzel models`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference.versions.lifecycle import stage
from inference.versions.lineage import Dated, Place, chain, learned_from
from inference.versions.rules import Rules
from inference.versions.state import Known, State
from inference.versions.store import Gate, Learned, Verdict, Version
from schemas.models import ModelStatus
from schemas.shown import shown

COLORS = {"champion": "green", "canary": "yellow", "shadow": "cyan", "rejected": "red", "withdrawn": "red"}


def listing(state: State, rules: Rules, now: int) -> RenderableType:
    """All versions, newest first, below what makes lists now."""
    table = _table("version", "stage", "from", "made", "likes", "gates", "hit ratio to champion", "why")
    for number in sorted(state.versions, reverse=True):
        known = state.versions[number]
        record, now_at = known.record, stage(state, number)
        failed = [gate for gate in known.gates if not gate.passed]
        passed = len(known.gates) - len(failed)
        table.add_row(
            str(number),
            Text(now_at, style=COLORS.get(now_at, "")),
            f"{record.parent} ({record.kind})" if record is not None else "built",
            ago(now - record.made_ms) if record is not None else "",
            f"{record.likes:,}" if record is not None else "",
            Text(f"{passed} of {len(known.gates)}", style="red" if failed else "") if known.gates else "",
            _difference(_current(state, number, rules) or _last_compared(known)),
            Text(shown(_why(state, known, number))),
        )
    return Group(*(Text(line) for line in _serving(state, rules, now)), Text(), table)


def details(state: State, number: int, rules: Rules, now: int, lists: str = "") -> RenderableType:
    """One version: where it comes from, its gates, what happened to it, and what it learned. `lists` is a sentence on
    the lists that it made."""
    known = state.versions.get(number, Known())
    parts: list[RenderableType] = [Text(line) for line in _facts(state, known, number, now)]
    parts += [Text(shown(lists))] if lists else []
    if known.gates:
        gates = _table("gate", "figure", "95% interval", "threshold", "", "what it says")
        for gate in known.gates:
            gates.add_row(
                Text(shown(gate.name)),
                f"{gate.figure:.4g}",
                f"{gate.low:.4g} to {gate.high:.4g}" if gate.low is not None and gate.high is not None else "",
                f"{gate.threshold:.4g}",
                Text("passed", style="green") if gate.passed else Text("FAILED", style="red"),
                Text(shown(gate.text)),
            )
        parts += [Text(), gates]
    current = _current(state, number, rules)
    verdicts = [*known.verdicts, *([current] if current is not None else [])]
    if verdicts:
        table = _table("when", "event", "hit ratio to champion", "likes", "lists shown", "why")
        for each in verdicts:
            event = each.event.replace("_", " ")
            table.add_row(
                moment(each.ts),
                Text(event, style=COLORS.get(event, "")),
                _difference(each),
                f"{each.pairs:,}" if each.pairs else "",
                f"{each.lists:,}" if each.lists else "",
                Text(shown(each.reason)),
            )
        parts += [Text(), table]
    return Group(*parts)


def differences(state: State, left: int, right: int) -> RenderableType:
    """Two versions side by side: their records, what only one of them learned, and their gates."""
    one, other = state.versions[left], state.versions[right]
    table = _table("", f"version {left}", f"version {right}")
    rows = {name: (_field(one.record, name), _field(other.record, name)) for name in ROWS}
    rows["stage"] = stage(state, left), stage(state, right)
    for name, (mine, its) in rows.items():
        table.add_row(name, mine, Text(its, style="" if mine == its else "bold"))
    gates = {gate.name: (gate, None) for gate in one.gates} | {gate.name: (None, gate) for gate in other.gates}
    for name in gates:
        first, second = (next((g for g in known.gates if g.name == name), None) for known in (one, other))
        table.add_row(Text(f"gate {shown(name)}"), _gate(first), _gate(second))
    learned = [
        Text(f"version {number} learned {line}")
        for number, known in ((left, one), (right, other))
        for line in lineage(known.record.learned if known.record is not None else ())
    ]
    return Group(table, *learned)


ROWS = ("name", "kind", "parent", "made", "events", "likes", "held-out likes", "seconds", "CPU seconds", "peak memory")


def lineage(learned: Sequence[Learned]) -> Iterator[str]:
    """What a version learned, one line for each range of records."""
    for each in sorted(learned, key=lambda one: (one.topic, one.partition, one.first)):
        yield f"{each.first:,} to {each.behind - 1:,} of partition {each.partition} of {each.topic}"


def learned_by(state: State, topic: str, partition: int, offset: int) -> list[int]:
    """The versions that learned a record, and those trained from them, ascending."""
    return [each.number for each in learned_from(records(state), [Dated(Place(topic, partition, offset))])]


def records(state: State) -> dict[int, Version]:
    """The versions in the store, without the one that was built."""
    return {number: known.record for number, known in state.versions.items() if known.record is not None}


def ago(ms: int) -> str:
    """A duration in the largest unit that fits: "3 min ago"."""
    seconds = max(0, ms // 1000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def moment(ms: int) -> str:
    """A time in UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, no_wrap=name not in {"why", "what it says"}, overflow="fold")
    return table


def _serving(state: State, rules: Rules, now: int) -> Iterator[str]:
    champion, challenger = state.lineup.champion, state.lineup.challenger
    if champion is None:
        yield "No version has a role yet: the server answers with the one that it has loaded."
        return
    live = state.live(rules, now)
    using = sum(ack.champion == champion.version for ack in live)
    yield f"Version {champion.number} makes the lists ({using} of {len(live)} live workers)."
    if challenger is None:
        yield "No challenger."
        return
    yield _challenger(challenger, state, rules, now)


def _challenger(challenger: ModelStatus, state: State, rules: Rules, now: int) -> str:
    live = state.live(rules, now)
    using = sum(ack.challenger == challenger.version and not ack.lacking for ack in live)
    where = f"as a canary for {challenger.share:.0%} of users" if challenger.share else "in shadow"
    shown_lists = f", {state.shown():,} lists shown" if challenger.share else ""
    return f"Version {challenger.number} is tried {where} ({using} of {len(live)} live workers{shown_lists})."


def _facts(state: State, known: Known, number: int, now: int) -> Iterator[str]:
    record = known.record
    yield f"Version {number}: {stage(state, number)}"
    if record is None:
        names = ", ".join(sorted(state.names_of(number)))
        yield f"Made by `ouzel triton build`{f': {shown(names)}' if names else ''}"
        return
    yield f"Name {shown(record.name)}"
    what = "all parameters" if record.kind == "full" else "the rows of single items"
    yield f"Trained from version {record.parent} ({what}) {ago(now - record.made_ms)}, {moment(record.made_ms)} UTC"
    yield f"Parents {' < '.join(map(str, chain(records(state), number)))}"
    begin = f"from {moment(record.since_ms)} " if record.since_ms else ""
    yield (
        f"Learned {record.events:,} new events with {record.likes:,} likes, {begin}up to {moment(record.cut_ms)} UTC; "
        f"{record.tests:,} newer likes were held out"
    )
    for line in lineage(record.learned):
        yield f"  read {line}"
    yield (
        f"Cost {record.seconds:,.0f} s, {record.cpu_seconds:,.0f} s of CPU time, {record.peak_mib:,.0f} MiB of memory"
    )


def _current(state: State, number: int, rules: Rules) -> Verdict | None:
    """The test that goes on, as if it were a verdict."""
    challenger = state.lineup.challenger
    if challenger is None or challenger.number != number or state.test is None or state.stage_began() is None:
        return None
    found = state.test.judge(rules)
    if not found.pairs:
        return None
    return Verdict(
        ts=challenger.ts, event=f"{challenger.role} so far", reason=found.reason,
        difference=found.difference, low=found.low, high=found.high, pairs=found.pairs, lists=state.shown(),
    )  # fmt: skip


def _last_compared(known: Known) -> Verdict | None:
    return next((each for each in reversed(known.verdicts) if each.difference is not None), None)


def _difference(verdict: Verdict | None) -> str:
    if verdict is None or verdict.difference is None or verdict.low is None or verdict.high is None:
        return ""
    return f"{verdict.difference:+.3f} ({verdict.low:+.3f} to {verdict.high:+.3f})"


def _why(state: State, known: Known, number: int) -> str:
    champion, challenger = state.lineup.champion, state.lineup.challenger
    for status in (champion, challenger):
        if status is not None and status.number == number:
            return status.reason
    return known.verdicts[-1].reason if known.verdicts else ""


def _field(record: Version | None, name: str) -> str:
    if record is None:
        return "built" if name == "kind" else ""
    found = {
        "name": shown(record.name),
        "kind": record.kind,
        "parent": str(record.parent),
        "made": moment(record.made_ms),
        "events": f"{record.events:,}",
        "likes": f"{record.likes:,}",
        "held-out likes": f"{record.tests:,}",
        "seconds": f"{record.seconds:,.0f}",
        "CPU seconds": f"{record.cpu_seconds:,.0f}",
        "peak memory": f"{record.peak_mib:,.0f} MiB",
    }
    return found[name]


def _gate(gate: Gate | None) -> Text:
    if gate is None:
        return Text("")
    return Text(f"{gate.figure:.4g}", style="" if gate.passed else "red")
