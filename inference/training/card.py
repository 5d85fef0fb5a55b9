"""What a model card says of a training: data, results, settings and limits. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from inference.training.schedule import SHORTLIST, OnLists, Trained, best_of
from inference.training.validation import DEPTH, Figures
from inference.versions.card import LIMITS, USES, Result, Section, Subject, assembled, data_lines, day


@dataclass(frozen=True)
class About:
    """Facts for the card that `Trained` does not have. `first` and `cut_ts` are milliseconds; `share` is the share of
    the whole stream. `settings` are listed verbatim."""

    base: str
    data: str
    terms: str
    first: int
    cut_ts: int
    share: float
    users: int
    items: int
    text_only: bool
    settings: Mapping[str, object]
    started_from: str = ""


def card(about: About, trained: Trained) -> str:
    """The card of an adapter that was trained alone, by `ouzel train`."""
    intro = (
        "Turns items and a user's events into tokens and vectors of a language model, and these into scores. It needs "
        "its base model."
    )
    return assembled(
        subject(about),
        "Adapter for item tokens",
        intro,
        [
            Section("Data", data(about, trained)),
            *sections(about, trained),
            Section("Intended use", USES),
            Section("Limits", LIMITS),
        ],
        results(trained),
    )


def subject(about: About) -> Subject:
    return Subject("adapter for item tokens", about.base, about.data, about.terms, about.data.split(";")[0])


def data(about: About, trained: Trained) -> list[str]:
    """The lines on the data."""
    lines = [
        *data_lines(subject(about)),
        f"- Window: {day(about.first)} to {day(about.cut_ts)}, the first {about.share:.0%} of the stream: "
        f"{trained.cut:,} events, {about.users:,} users, {about.items:,} items. Later events were not used.",
        f"- Contents: no user data{' and no parameters of single items' if about.text_only else ''}. "
        + (
            "Items are known by their texts alone."
            if about.text_only
            else "Items in the training data have their own parameters, by id (`items.json`)."
        ),
    ]
    if about.started_from:
        lines.append(f"- Continues from the adapter {about.started_from}.")
    return lines


def sections(about: About, trained: Trained) -> list[Section]:
    """The sections on the training: figures, gates of the training, calibration and settings."""
    gates = [f"- {'passed' if passed else '**not passed**'}: {name}" for name, passed in trained.gates.items()]
    return [
        Section("Figures", _figures(trained)),
        Section("Gates of the training", gates),
        Section("Calibration of the training", _calibration(trained)),
        Section("Training", _training(about, trained)),
    ]


def results(trained: Trained) -> list[Result]:
    """The figures for the card's model-index."""
    found = [
        Result("hit_rate", f"HR@{DEPTH}", trained.validation.hr),
        Result("ndcg", f"NDCG@{DEPTH}", trained.validation.ndcg),
    ]
    if trained.calibration is not None:
        found.append(Result("expected_calibration_error", "expected calibration error", trained.calibration.after))
    return found


def _training(about: About, trained: Trained) -> list[str]:
    lines = []
    if trained.done.tower:
        at = best_of(trained.done.tower)
        alone = trained.done.tower[at].validation
        lines.append(
            f"- {len(trained.done.tower)} epochs of the tower over item ids; the best was number {at + 1}, which alone "
            f"has {alone}."
        )
    best = trained.done.best + 1
    lines.append(f"- {len(trained.done.epochs)} epochs in sequence; the best was number {best}.")
    if trained.lists is not None:
        lines.append(f"- {len(trained.lists.losses)} epochs on lists: {_lists(trained.lists)}")
    if trained.finished:
        lines.append("- A final pass over the validation part, which none of the figures here measures.")
    times = ", ".join(f"{name} {share:.0%}" for name, share in sorted(trained.shares.items(), key=lambda x: -x[1]))
    lines.append(f"- Time by phase: {times}.")
    lines += [f"- {name}: {value}" for name, value in about.settings.items()]
    return [*lines, "", "![loss and validation](training.svg)"]


def numbers(trained: Trained) -> dict[str, float]:
    """The figures for `adapter.json`."""
    found = {"tests": float(trained.validation.tests), "hr10": trained.validation.hr, "ndcg10": trained.validation.ndcg}
    if trained.done.untrained is not None:
        found["ndcg10_untrained"] = trained.done.untrained.ndcg
    for name, baseline in trained.baselines.items():
        found[f"ndcg10_{name}"] = baseline.ndcg
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
    rows += [(name.replace("_", "-"), baseline) for name, baseline in trained.baselines.items()]
    return [
        "The next like of an item new to its user, over the full catalogue without seen items: "
        f"{trained.validation.tests:,} tests in the last {1 - trained.begin / trained.cut:.0%} of the window. The "
        "epoch was selected on them, so the first row is slightly optimistic. The model is frozen there, while the "
        "baselines keep learning.",
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
        f"{'kept' if lists.kept else 'not kept'}. On {lists.reranked_before.tests:,} of the tests, NDCG@{DEPTH} of its "
        f"own top {SHORTLIST}, reranked, was {again}; by retrieval alone {alone}."
    )


def _calibration(trained: Trained) -> list[str]:
    found = trained.calibration
    if found is None:
        return ["Not calibrated: too few of the model's top items were taken. Scores give an order, not odds."]
    summary = (
        f"Logits are the log-odds that one of the model's top ten is the next like: {found.shown:,} shown, "
        f"{found.taken:,} taken. Expected calibration error {found.before:.4f} before and {found.after:.4f} after "
        f"(Platt, fitted on half of the users and measured on the others; slope {found.slope:.3f}, offset "
        f"{found.offset:.3f})"
    )
    if found.isotonic is None:
        return [summary + "."]
    return [f"{summary}; isotonic regression, which is not used, {found.isotonic:.4f}."]
