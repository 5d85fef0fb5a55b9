"""`ouzel evaluate`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from deploy.commands.columns import chosen, column_options
from deploy.commands.options import WORK, seen_chosen, seen_options
from deploy.commands.parameters import InFile, OutFile
from deploy.local.progress import telling, told_by_bars
from deploy.local.terminal import Terminal, say

FILE = InFile()


@click.command()
@click.option(
    "--events", type=FILE, show_default="MovieLens-100K", help="Events: CSV, JSON or Parquet (see docs/guide/files.md)."
)
@click.option("--items", type=FILE, help="Catalogue with titles.")
@column_options
@click.option(
    "--seeds",
    metavar="N",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Average over N random orders of events with the same time.",
)
@click.option(
    "--protocols",
    metavar="NAMES",
    default="prequential,leave_last_out",
    show_default=True,
    help="Evaluation protocols, comma-separated; like_dislike is one more.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(100),
    help="Use only the first N events (with --events: the first N rows).",
)
@click.option(
    "--processes", metavar="N", type=click.IntRange(1, 64), default=2, show_default=True, help="Parallel processes."
)
@click.option("--without-model", is_flag=True, help="Train nothing: evaluate the blend alone and the simple methods.")
@click.option("--no-scorer", is_flag=True, help="Do not train the scorer.")
@click.option(
    "--start",
    metavar="ADAPTER",
    show_default="packaged, unless it may have seen these events",
    help="Adapter that the scorer starts from: packaged, none, or a folder.",
)
@click.option("--no-sasrec", is_flag=True, help="Do not train SASRec.")
@click.option("--esasrec", is_flag=True, help="Train eSASRec too.")
@click.option("--json", "json_file", metavar="FILE", type=OutFile(), help="Also write the report as JSON.")
@click.option("--html", "html_file", metavar="FILE", type=OutFile(), help="Also write the report as a page with plots.")
@seen_options
def evaluate(
    events: Path | None,
    items: Path | None,
    seeds: int,
    protocols: str,
    limit: int | None,
    processes: int,
    without_model: bool,
    no_scorer: bool,
    start: str | None,
    no_sasrec: bool,
    esasrec: bool,
    json_file: Path | None,
    html_file: Path | None,
    seen_again: str,
    seen_kinds: str,
    **columns: Any,
) -> None:
    """Measure list quality offline, beside baselines.

    Runs on MovieLens-100K or on your own events and items. Models are trained on the past only. Ouzel recognizes
    columns with common names.
    """
    # Set before numpy and torch are imported: threads that wait by spinning slow down those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from deploy.datasets.dataset import films, from_files
    from deploy.evaluation.evaluate import Options
    from deploy.evaluation.evaluate import evaluate as measure
    from deploy.evaluation.jobs import LISTS
    from deploy.evaluation.like_dislike import LIKE_DISLIKE
    from deploy.evaluation.live_ranking import SETTINGS
    from deploy.files.report import printed

    every = (*LISTS, LIKE_DISLIKE)
    named = tuple(protocol for protocol in every if protocol in protocols.split(","))
    if not named or set(protocols.split(",")) - set(every):
        raise click.UsageError(f"--protocols takes one or more of {', '.join(every)}")
    if items is not None and events is None:
        raise click.UsageError("--items needs --events")
    if esasrec and without_model:
        raise click.UsageError("--without-model trains nothing: use --no-scorer or --no-sasrec beside --esasrec")
    if start is not None and without_model:
        raise click.UsageError("--start is for the model, and --without-model has none")
    options = Options(
        seeds=seeds,
        protocols=named,
        processes=processes,
        limit=limit,
        model=not (no_scorer or without_model),
        sasrec=not (no_sasrec or without_model),
        esasrec=esasrec,
        settings=replace(SETTINGS, seen=seen_chosen(seen_again, seen_kinds)),
    )
    tell = printed(Terminal())
    with telling(f"reading {events or 'MovieLens-100K'}"):
        dataset = films() if events is None else from_files(events, items, *chosen(columns), limit=limit, tell=tell)
    learner = begun = None
    if options.model:
        from deploy.learning.start import to_judge
        from inference.settings import ModelSettings
        from inference.transformer.weights import name_of

        begun, note = to_judge(start, dataset, name_of(ModelSettings().source))
        say(note, err=True)
        options = replace(options, start=note)
    with told_by_bars(by_label=True) as progress:
        if options.kinds:
            from deploy.evaluation.learners import learner as make

            learner = make(dataset.items, WORK, progress, processes, scorer=options.model, start=begun)
        measure(
            dataset, options, learner=learner, json=json_file, html=html_file, progress=progress, console=Terminal()
        )
