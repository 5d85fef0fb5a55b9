"""Model cards as `huggingface_hub` writes them: metadata with a model-index in YAML, then Markdown. No hub is asked.

`assembled` is the form of every card; `version_card` is that of a version, with its lineage and its gates.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from inference.versions.gates.judge import stopped_by
from inference.versions.store import Gate, Version, replace

CARD = "card.md"
RELIABILITY = "reliability.svg"

USES = (
    "Ranks items for users of the system whose events it learned, as one signal among others: "
    "`ouzel triton serve` answers with its scores, and workers blend them with what users did. It is not meant for "
    "decisions about people, nor for other catalogues.",
)
LIMITS = (
    "- The figures are offline, on the data above. They do not apply to other catalogues, languages or users.",
    "- It learns from choices, including the bias of what was available; it knows little of rarely chosen items.",
    "- Evaluate it only on events after its window.",
)


class BaseModel(NamedTuple):
    """A known base model: its name on the Hugging Face Hub, and its licence."""

    hub: str
    licence: str


BASES = {"smollm2-135m-instruct": BaseModel("HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0")}


class Section(NamedTuple):
    title: str
    lines: Sequence[str]


class Result(NamedTuple):
    """A figure for the model-index: its metric, such as "ndcg", the name for readers, and its value."""

    metric: str
    name: str
    value: float


class Subject(NamedTuple):
    """What a card is about: the adapter's `name`, its `base` model, and the `data` that it learned with their `terms`.
    `dataset` is a short name of the data."""

    name: str
    base: str
    data: str
    terms: str
    dataset: str


def licence(base: str) -> str:
    """The licence of a base model, for readers."""
    return BASES[base].licence if base in BASES else "see its source"


def assembled(subject: Subject, title: str, intro: str, sections: Sequence[Section], results: Sequence[Result]) -> str:
    """A card: metadata, then `title`, `intro` and the sections."""
    known = BASES.get(subject.base)
    data = ModelCardData(
        model_name=subject.name,
        base_model=None if known is None else known.hub,
        library_name="ouzel",
        license="other",
        license_name="terms-of-the-data",
        license_link=f"{CARD}#data",
        tags=["recommender-system", "sequential-recommendation", "lora", "adapter"],
        eval_results=[
            EvalResult(
                task_type="other",
                task_name="next-item recommendation",
                dataset_type="held-out-events",
                dataset_name=subject.dataset,
                metric_type=result.metric,
                metric_name=result.name,
                metric_value=round(result.value, 6),
            )
            for result in results
        ]
        or None,
    )
    body = [f"# {title}", "", intro]
    for section in sections:
        body += ["", f"## {section.title}", "", *section.lines]
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(body) + "\n"))


def version_card(
    version: Version,
    parent: str,
    subject: Subject,
    gates: Sequence[Gate],
    *,
    training: Sequence[Section] = (),
    figures: Mapping[str, float] | None = None,
) -> str:
    """The card of a version that was judged. `parent` is the name of the version that it was trained from, `training`
    are further sections (`inference.training.card.sections`), `figures` the adapter's own."""
    stop = stopped_by(gates)
    if not gates:
        verdict = "It was not judged and gets no traffic."
    elif stop is not None:
        verdict = f"**It gets no traffic: the gate “{stop.name}” stopped it.** {stop.text}"
    else:
        verdict = f"It passed all {len(gates)} gates."
    sections = [
        Section("Lineage", lineage(version, parent)),
        Section("Gates", gates_table(gates)),
        Section("Calibration", (f"![predicted and observed shares]({RELIABILITY})",)),
        Section("Data", data_lines(subject)),
        *training,
        Section("Intended use", USES),
        Section("Limits", LIMITS),
    ]
    results = [
        *(Result(name, f"{name} of the adapter", value) for name, value in (figures or {}).items()),
        *(Result(gate.name.replace(" ", "_").lower(), f"gate: {gate.name}", gate.figure) for gate in gates),
    ]
    intro = f"The adapter `{version.name}`, made while the stream runs. {verdict}"
    return assembled(subject, f"Version {version.number}", intro, sections, results)


def lineage(version: Version, parent: str) -> list[str]:
    """Where a version comes from, and what it learned."""
    kinds = {"full": "all trained parameters", "items": "the rows of single items only"}
    lines = [
        f"- Parent: version {version.parent}, `{parent}`.",
        f"- Learned: {kinds[version.kind]}, from {version.events:,} events with {version.likes:,} likes; "
        f"{version.tests:,} newer likes were held out for the gates.",
        f"- Cut: {day(version.cut_ms)}. It learned no event after it.",
        f"- Made: {day(version.made_ms)}, in {version.seconds:,.0f} s ({version.cpu_seconds:,.0f} s of CPU, at most "
        f"{version.peak_mib:,.0f} MiB).",
    ]
    lines += [
        f"- Records: `{one.topic}`, partition {one.partition}, offsets {one.first:,} to {one.behind - 1:,}."
        for one in version.learned
        if one.behind > one.first
    ]
    return lines


def gates_table(gates: Sequence[Gate]) -> list[str]:
    """One line for each gate; differences and ratios are to the parent."""
    rows = [
        "Cheapest first: the first that fails decides. Differences and ratios are to the champion at that time.",
        "",
        "| gate | figure | 95% interval | threshold | | |",
        "|---|---|---|---|---|---|",
    ]
    for gate in gates:
        interval = "none" if gate.low is None or gate.high is None else f"{gate.low:.4f} to {gate.high:.4f}"
        result = "passed" if gate.passed else "**failed**"
        said = " ".join(gate.text.split()).replace("|", "\\|")
        rows.append(f"| {gate.name} | {gate.figure:.4f} | {interval} | {gate.threshold:.4f} | {result} | {said} |")
    return rows


def data_lines(subject: Subject) -> list[str]:
    """The data, its terms, and the base model with its licence."""
    return [
        f"- Base model: {subject.base} ({licence(subject.base)}), unchanged and not part of this folder.",
        f"- Data: {subject.data}",
        f"- Terms of the data: {subject.terms}",
    ]


def write_card(folder: Path, card: str, plots: Mapping[str, str]) -> None:
    """Write the card and its plots into an adapter's folder, replacing older ones; the version's name stays."""
    for name, plot in plots.items():
        replace(folder / name, plot.encode())
    replace(folder / CARD, card.encode())


def day(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"
