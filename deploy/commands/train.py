"""`ouzel train` as it is typed. What it needs is imported when it runs."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from deploy.commands.column_options import chosen, column_options
from deploy.commands.parameters import InFile, OutFolder, Real
from deploy.local.progress import telling, told_by_bars
from deploy.local.terminal import Terminal, say

FILE = InFile()
WORK = Path(".ouzel")
NICE = 10


@click.command("train")
@click.option("--events", type=FILE, help="Events: CSV, JSON or Parquet, see docs/files.md. [default: MovieLens-100K]")
@click.option("--feedback", type=FILE, help="Instead of events: the lines of `ouzel read feedback`.")
@click.option("--receipts", type=FILE, help="With feedback: the lines of `ouzel read privacy-receipts`, to leave out.")
@click.option("--items", type=FILE, help="The catalogue, with titles.")
@column_options
@click.option(
    "--until",
    type=Real(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="Share of the events, the oldest, to learn from. The rest is never looked at.",
)
@click.option("--out", type=OutFolder(), default=WORK / "adapter", show_default=True, help="The adapter's folder.")
@click.option("--start", help="An adapter to go on from: a name or a folder.")
@click.option("--residuals/--text-only", help="Learn something of single items too. [default: text only]")
@click.option("--layers", type=click.IntRange(1, 256), default=2, show_default=True, help="Of the language model.")
@click.option("--rank", type=click.IntRange(0, 256), default=16, show_default=True, help="Of LoRA.")
@click.option("--length", type=click.IntRange(2, 50), default=50, show_default=True, help="Events of a piece.")
@click.option("--epochs", type=click.IntRange(1, 1_000), default=16, show_default=True, help="In sequence, at most.")
@click.option("--patience", type=click.IntRange(1), default=4, show_default=True, help="Epochs without a better one.")
@click.option("--list-epochs", type=click.IntRange(0), default=2, show_default=True, help="On lists, after that.")
@click.option("--lists", type=click.IntRange(1), default=2_048, show_default=True, help="Lists of such an epoch.")
@click.option("--variants", type=click.IntRange(1, 64), default=4, show_default=True, help="Texts of each item.")
@click.option("--dropout", type=Real(0, 0.9), default=0.2, show_default=True, help="Of item tokens and in layers.")
@click.option("--again", type=Real(0, 1), default=0.2, show_default=True, help="With --start: share of the old.")
@click.option("--finish", is_flag=True, help="In the end, one pass over the part that judged, too.")
@click.option(
    "--limit", type=click.IntRange(100), help="The first events only, before --until; of a file its first rows."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda.")
@click.option("--threads", type=click.IntRange(1, 256), help="On a CPU. [default: the cores that are there, up to 8]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything drawn.")
@click.option("--resume", is_flag=True, help="Go on where the same command stopped.")
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
    """Train an adapter, the part of the model that learns, on the earlier part of what people did.

    On MovieLens-100K, or on events and items of your own. After each epoch a checkpoint is kept, so that Ctrl-C loses
    at most one epoch.
    """
    from deploy.datasets import dataset as datasets
    from deploy.files.report import printed
    from deploy.learning.adapter import MOVIELENS_TERMS, OWN_TERMS, Options, from_feedback
    from deploy.learning.adapter import train as learn
    from inference.settings import ModelSettings, readings_of
    from inference.training.learner import Base
    from inference.training.lists import ListRecipe
    from inference.training.schedule import Plan
    from inference.training.trainer import Recipe
    from inference.transformer.weights import convert
    from inference.triton.repository import weights_of

    if feedback is not None and (events is not None or items is None):
        raise click.UsageError("--feedback needs --items, and takes the place of --events")
    if items is not None and events is None and feedback is None:
        raise click.UsageError("--items needs --events or --feedback")
    if receipts is not None and feedback is None:
        raise click.UsageError("--receipts needs --feedback")
    event_columns, item_columns = chosen(columns)
    weights = None
    tell = printed(Terminal())
    with telling(f"reading {feedback or events or 'MovieLens-100K'}"):
        if feedback is not None and items is not None:
            dataset, weights = from_feedback(feedback, items, item_columns, receipts)
        elif events is not None:
            dataset = datasets.from_files(events, items, event_columns, item_columns, limit=limit, tell=tell)
        else:
            dataset = datasets.films()
    options = Options(
        out=out,
        until=until,
        limit=limit,
        layers=layers,
        rank=rank,
        residuals=residuals,
        variants=variants,
        dropout=dropout,
        start=start,
        seed=seed,
        resume=resume,
        recipe=Recipe(window=length),
        plan=Plan(epochs=epochs, patience=patience, list_epochs=list_epochs, again=again, finish=finish),
        lists=ListRecipe(count=lists),
    )
    if device == "cpu":
        os.nice(NICE)
    settings = ModelSettings.make(device=device, threads=threads or 0)
    terms = MOVIELENS_TERMS if events is None and feedback is None else OWN_TERMS
    try:
        with told_by_bars() as progress:
            repository = WORK / "models" / "repository"
            whole = convert(weights_of(repository), settings, progress)
            base = Base(whole, readings_of(repository, settings), settings)
            _, trained = learn(dataset, options, base, weights=weights, terms=terms, progress=progress)
    except KeyboardInterrupt:
        say(f"stopped; whole epochs are kept in {options.checkpoints}. The same command with --resume goes on.")
        sys.exit(130)
    say(f"{out}: {trained.validation} on {trained.validation.tests:,} tests; see {out / 'card.md'}")
    for name, passed in trained.gates.items():
        say(f"{'passed' if passed else 'NOT passed'}: {name}")
