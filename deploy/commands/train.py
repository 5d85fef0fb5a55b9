"""`ouzel train`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.commands.columns import chosen, column_options
from deploy.commands.options import WORK
from deploy.commands.parameters import InFile, OutFolder, Real
from deploy.local.priority import NICENESS, lower_priority
from deploy.local.progress import telling, told_by_bars
from deploy.local.terminal import Terminal, say

if TYPE_CHECKING:
    from inference.training.feedback import Untaken

FILE = InFile()


@click.command()
@click.option(
    "--events", type=FILE, show_default="MovieLens-100K", help="Events: CSV, JSON or Parquet (see docs/guide/files.md)."
)
@click.option("--feedback", type=FILE, help="Train on the output of `ouzel read feedback` instead of events.")
@click.option(
    "--receipts", type=FILE, help="With --feedback: leave out users erased in `ouzel read privacy-receipts` output."
)
@click.option("--items", type=FILE, help="Catalogue with titles.")
@column_options
@click.option(
    "--until",
    metavar="SHARE",
    type=Real(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Share of the events, the oldest, to train on. The rest is never read.",
)
@click.option(
    "--out", metavar="FOLDER", type=OutFolder(), default=WORK / "adapter", show_default=True, help="Output folder."
)
@click.option(
    "--start",
    metavar="ADAPTER",
    show_default="packaged, unless it may have seen these events",
    help="Adapter to continue from: packaged, none, or a folder.",
)
@click.option(
    "--residuals/--text-only", show_default="text only", help="Also learn a vector per item, or from texts only."
)
@click.option(
    "--layers", metavar="N", type=click.IntRange(1, 256), default=2, show_default=True, help="Language-model layers."
)
@click.option("--rank", metavar="N", type=click.IntRange(0, 256), default=16, show_default=True, help="LoRA rank.")
@click.option(
    "--length", metavar="N", type=click.IntRange(2, 50), default=50, show_default=True, help="Events per sequence."
)
@click.option(
    "--epochs",
    metavar="N",
    type=click.IntRange(1, 1_000),
    default=16,
    show_default=True,
    help="Maximum epochs on sequences.",
)
@click.option(
    "--patience",
    metavar="N",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Stop after this many epochs without improvement.",
)
@click.option(
    "--list-epochs",
    metavar="N",
    type=click.IntRange(0),
    default=2,
    show_default=True,
    help="Epochs on lists, after those on sequences.",
)
@click.option(
    "--lists", metavar="N", type=click.IntRange(1), default=2_048, show_default=True, help="Lists per such epoch."
)
@click.option(
    "--variants",
    metavar="N",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Text variants of each item.",
)
@click.option(
    "--dropout",
    metavar="SHARE",
    type=Real(0, 0.9),
    default=0.2,
    show_default=True,
    help="Dropout of item tokens and in layers.",
)
@click.option(
    "--again",
    metavar="SHARE",
    type=Real(0, 1),
    default=0.2,
    show_default=True,
    help="With --start: share of old events to replay.",
)
@click.option("--finish", is_flag=True, help="End with one pass over the validation events.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(100),
    help="Use only the first N events, before --until applies (with --events: the first N rows).",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1, 256),
    show_default="number of cores, at most 8",
    help="CPU threads.",
)
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run of the same command.")
def train(
    events: Path | None,
    feedback: Path | None,
    receipts: Path | None,
    items: Path | None,
    until: float,
    out: Path,
    start: str | None,
    residuals: bool,
    layers: int,
    rank: int,
    length: int,
    epochs: int,
    patience: int,
    list_epochs: int,
    lists: int,
    variants: int,
    dropout: float,
    again: float,
    finish: bool,
    limit: int | None,
    device: str,
    threads: int | None,
    seed: int,
    resume: bool,
    **columns: Any,
) -> None:
    """Train an adapter, the part of the model that learns, on past events.

    Runs on MovieLens-100K or on your own events and items. Saves a checkpoint after each epoch, so that Ctrl-C loses
    at most one epoch.
    """
    from deploy.datasets import dataset as datasets
    from deploy.files.report import printed
    from deploy.learning.adapter import MOVIELENS_TERMS, OWN_TERMS, Options, from_feedback
    from deploy.learning.adapter import train as learn
    from deploy.learning.start import to_continue
    from inference.settings import ModelSettings, readings_of
    from inference.training.learner import Base
    from inference.training.lists import ListRecipe
    from inference.training.schedule import Plan
    from inference.training.trainer import Recipe
    from inference.transformer.weights import convert, name_of
    from inference.triton.repository import weights_of

    if feedback is not None and (events is not None or items is None):
        raise click.UsageError("--feedback needs --items and replaces --events")
    if items is not None and events is None and feedback is None:
        raise click.UsageError("--items needs --events or --feedback")
    if receipts is not None and feedback is None:
        raise click.UsageError("--receipts needs --feedback")
    event_columns, item_columns = chosen(columns)
    weights: Mapping[str, float] | None = None
    untaken: Sequence[Untaken] = ()
    tell = printed(Terminal())
    with telling(f"reading {feedback or events or 'MovieLens-100K'}"):
        if feedback is not None and items is not None:
            evidence = from_feedback(feedback, items, item_columns, receipts)
            dataset, weights, untaken = evidence.dataset, evidence.weights, evidence.untaken
        elif events is not None:
            dataset = datasets.from_files(events, items, event_columns, item_columns, limit=limit, tell=tell)
        else:
            dataset = datasets.films()
    if feedback is not None:
        say(dataset.note)
    options = Options(
        out=out,
        until=until,
        limit=limit,
        layers=layers,
        rank=rank,
        residuals=residuals,
        variants=variants,
        dropout=dropout,
        start=to_continue(start, dataset, name_of(ModelSettings().source), layers, rank, say),
        seed=seed,
        resume=resume,
        recipe=Recipe(window=length),
        plan=Plan(epochs=epochs, patience=patience, list_epochs=list_epochs, again=again, finish=finish),
        lists=ListRecipe(count=lists),
    )
    if device == "cpu":
        lower_priority(NICENESS)
    settings = ModelSettings.make(device=device, threads=threads or 0)
    terms = MOVIELENS_TERMS if events is None and feedback is None else OWN_TERMS
    try:
        with told_by_bars() as progress:
            repository = WORK / "models" / "repository"
            whole = convert(weights_of(repository), settings, progress)
            base = Base(whole, readings_of(repository, settings), settings)
            _, trained = learn(dataset, options, base, weights=weights, untaken=untaken, terms=terms, progress=progress)
    except KeyboardInterrupt:
        say(f"stopped; finished epochs are saved in {options.checkpoints}. Run it again with --resume to continue.")
        sys.exit(130)
    say(f"saved {out}: {trained.validation} on {trained.validation.tests:,} tests; see {out / 'card.md'}")
    for name, passed in trained.gates.items():
        say(f"{'passed' if passed else 'FAILED'}: {name}")
