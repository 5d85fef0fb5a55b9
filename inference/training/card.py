"""An adapter's card: on what it was trained, how it did, and what it must not be used for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from inference.training.schedule import SHORTLIST, OnLists, Trained, best_of
from inference.training.validation import DEPTH, Figures

LICENCES = {"smollm2-135m-instruct": "Apache-2.0"}
"""Of base models that we know."""


@dataclass(frozen=True)
class About:
    """What a training does not know of itself. `first` and `cut_ts` are milliseconds; `share` is of the whole stream.
    `settings` are told as they are."""

    base: str
    data: str
    terms: str
    first: int
    cut_ts: int
    share: float
    people: int
    items: int
    text_only: bool
    settings: Mapping[str, object]
    started_from: str = ""


def card(about: About, trained: Trained) -> str:
    """The card in Markdown."""
    licence = LICENCES.get(about.base, "see where it comes from")
    lines = [
        "# Adapter for item tokens",
        "",
        "Turns items, and what a person did with them, into tokens and vectors of a language model, and these into",
        "scores. It does nothing without its base model.",
        "",
        f"- Base model: {about.base} ({licence}); it is not part of this folder and was not changed.",
        f"- Data: {about.data}",
        f"- Terms of the data: {about.terms}",
        f"- Window: {_day(about.first)} to {_day(about.cut_ts)}, the first {about.share:.0%} of the stream: "
        f"{trained.cut:,} events, {about.people:,} people, {about.items:,} items. Nothing from later was seen.",
        f"- In it: no person's data{' and nothing of single items' if about.text_only else ''}. "
        + (
            "Items are known by their texts alone."
            if about.text_only
            else "Items that were met have something learned of their own, by their ids (`items.json`)."
        ),
    ]
    if about.started_from:
        lines.append(f"- Goes on from the adapter {about.started_from}.")
    lines += ["", "## Figures", "", *_figures(trained), "", "## Gates", ""]
    lines += [f"- {'passed' if passed else '**not passed**'}: {name}" for name, passed in trained.gates.items()]
    lines += ["", "## Calibration", "", *_calibration(trained), "", "## Training", ""]
    if trained.done.tower:
        at = best_of(trained.done.tower)
        alone = trained.done.tower[at].validation
        lines.append(
            f"- {len(trained.done.tower)} epochs of the tower over item ids, of which the one numbered {at + 1} was "
            f"the best: alone it has {alone}."
        )
    best = trained.done.best + 1
    lines.append(f"- {len(trained.done.epochs)} epochs in sequence, of which the one numbered {best} was the best.")
    if trained.lists is not None:
        lines.append(f"- {len(trained.lists.losses)} epochs on lists: {_lists(trained.lists)}")
    if trained.finished:
        lines.append("- In the end one pass over the validation part as well, which no figure here judges.")
    times = ", ".join(f"{name} {share:.0%}" for name, share in sorted(trained.shares.items(), key=lambda x: -x[1]))
    lines.append(f"- Where the time went: {times}.")
    lines += [f"- {name}: {value}" for name, value in about.settings.items()]
    lines += [
        "",
        "![loss and validation](training.svg)",
        "",
        "## Limits",
        "",
        "- The figures are of the data above, offline, and say nothing about other catalogues, languages or people.",
        "- It learns what was chosen, with all that decided what could be chosen; of what few chose it knows little.",
        "- Judge it on events after its window only.",
    ]
    return "\n".join(lines) + "\n"


def numbers(trained: Trained) -> dict[str, float]:
    """The figures for `adapter.json`."""
    found = {"tests": float(trained.validation.tests), "hr10": trained.validation.hr, "ndcg10": trained.validation.ndcg}
    if trained.done.untrained is not None:
        found["ndcg10_untrained"] = trained.done.untrained.ndcg
    for name, floor in trained.floors.items():
        found[f"ndcg10_{name}"] = floor.ndcg
    if trained.lists is not None:
        found["ndcg10_reranked_before_lists"] = trained.lists.reranked_before.ndcg
        found["ndcg10_reranked_after_lists"] = trained.lists.reranked_after.ndcg
        found["lists_kept"] = float(trained.lists.kept)
    if trained.calibration is not None:
        found["calibration_error_before"] = trained.calibration.before
        found["calibration_error"] = trained.calibration.after
    return found


def _figures(trained: Trained) -> list[str]:
    rows: list[tuple[str, Figures]] = [("this adapter, by retrieval", trained.validation)]
    if trained.done.untrained is not None:
        rows.append(("before this training", trained.done.untrained))
    rows += [(name.replace("_", "-"), floor) for name, floor in trained.floors.items()]
    return [
        "The next like of an item new to its person, over the full catalogue, met items out: "
        f"{trained.validation.tests:,} tests in the last {1 - trained.begin / trained.cut:.0%} of the window. The "
        "epoch was chosen on them, so the first row is a little kind. The model is frozen there; the simple methods go "
        "on learning.",
        "",
        f"| | HR@{DEPTH} | NDCG@{DEPTH} |",
        "|---|---|---|",
        *[f"| {name} | {found.hr:.4f} | {found.ndcg:.4f} |" for name, found in rows],
    ]


def _lists(lists: OnLists) -> str:
    again, alone = (
        f"{before.ndcg:.4f} before and {after.ndcg:.4f} after"
        for before, after in (
            (lists.reranked_before, lists.reranked_after),
            (lists.retrieved_before, lists.retrieved_after),
        )
    )
    return (
        f"{'kept' if lists.kept else 'not kept'}. On {lists.reranked_before.tests:,} of the tests NDCG@{DEPTH} of its "
        f"own {SHORTLIST} best, scored again, was {again}; by retrieval alone {alone}."
    )


def _calibration(trained: Trained) -> list[str]:
    found = trained.calibration
    if found is None:
        return ["Not calibrated: too few of the model's own best were taken. Scores order, and are no odds."]
    said = (
        f"Logits are the log-odds that one of the model's ten best is the next like: {found.shown:,} shown, "
        f"{found.taken:,} taken. Expected calibration error {found.before:.4f} before and {found.after:.4f} after "
        f"(Platt, fitted on half of the people and measured on the others; slope {found.slope:.3f}, offset "
        f"{found.offset:.3f})"
    )
    if found.isotonic is None:
        return [said + "."]
    return [f"{said}; isotonic regression, which is not used, {found.isotonic:.4f}."]


def _day(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"
