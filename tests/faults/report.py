"""The report of a run: JSON, table and summary. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.faults.schedule import Kind
from tests.faults.session import Session, Struck
from tests.faults.verdict import quantiles, together


def summary(sessions: Sequence[Session]) -> dict[str, Any]:
    """The figures of a run, with exactly the keys that docs/guide/faults.md lists."""
    struck = [each for session in sessions for each in session.struck]
    verdict = together(session.verdict for session in sessions if session.verdict is not None)
    return {
        "faults": len(struck),
        "accepted": verdict.accepted,
        "lost": verdict.lost,
        "folded_twice": verdict.folded_twice,
        "without_list": verdict.without_list,
        "unlogged": verdict.unlogged,
        "logged_twice": verdict.logged_twice,
        "wrong_versions": verdict.wrong_versions,
        "recovery_seconds": quantiles(each.recovery_seconds for each in struck),
        "by_kind": {kind.value: _of_kind(these) for kind in Kind if (these := _only(struck, kind))},
    }


def _only(struck: Iterable[Struck], kind: Kind) -> list[Struck]:
    return [each for each in struck if each.fault.kind is kind]


def _of_kind(struck: Sequence[Struck]) -> dict[str, Any]:
    return {
        "count": len(struck),
        "recovery_seconds": quantiles(each.recovery_seconds for each in struck),
        "told": sign_counts(struck),
    }


def sign_counts(struck: Sequence[Struck]) -> dict[str, int]:
    """The signs seen, with the number of faults that each was seen in; most frequent first."""
    counts: dict[str, int] = {}
    for each in struck:
        for sign in each.signs:
            counts[sign] = counts.get(sign, 0) + 1
    if any(not each.signs for each in struck):
        counts["nothing"] = sum(not each.signs for each in struck)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def page(sessions: Sequence[Session]) -> str:
    """The report as text: a Markdown table of the kinds, and the promises."""
    figures = summary(sessions)
    verdict = together(session.verdict for session in sessions if session.verdict is not None)
    rows = ["| fault | count | median recovery | maximum | signs |", "|---|---|---|---|---|"]
    for kind, found in figures["by_kind"].items():
        seconds = found["recovery_seconds"]
        signs = "; ".join(f"`{sign}` {count}" for sign, count in found["told"].items())
        rows.append(f"| {kind} | {found['count']} | {seconds['p50']:.1f} s | {seconds['max']:.1f} s | {signs} |")
    once = verdict.accepted - verdict.lost - verdict.folded_twice
    rows += [
        "",
        f"{figures['faults']} faults under {verdict.accepted} accepted events: {once} folded once, "
        f"{verdict.folded_twice} twice, {verdict.lost} never; {verdict.refused} refused, {verdict.wrong_letters} of "
        f"their letters wrong; {verdict.without_list} users without a list in time; "
        f"{verdict.unlogged} records missing in the training log, {verdict.logged_twice} there twice, "
        f"{verdict.wrong_rows} wrong; {verdict.wrong_versions} lists by a wrong version; median recovery "
        f"{figures['recovery_seconds']['p50']:.1f} s, at most {figures['recovery_seconds']['max']:.1f} s.",
    ]
    broken = [sentence for session in sessions for sentence in session.broken]
    rows += [f"BROKEN: {sentence}" for sentence in broken] or ["Every promise held."]
    return "\n".join(rows)
