"""The evaluation report as terminal tables, readable at 100 columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from inference.evaluation.metrics import UNSEEN
from inference.evaluation.protocol import DEPTH, WHY_LEFT_OUT
from inference.evaluation.runner import BUCKETS

METRICS = (("hr10", f"HR@{DEPTH}"), ("ndcg10", f"NDCG@{DEPTH}"))
LISTS = (
    ("precision10", "precision", f"P@{DEPTH}"),
    ("recall10", "recall", f"R@{DEPTH}"),
    ("f1_10", "F1", f"F1@{DEPTH}"),
    ("coverage", "coverage", "cover"),
    ("diversity", "diversity", "diver."),
    ("novelty", "novelty", "novel"),
    ("long_tail", "long tail", "tail"),
    ("miscalibration", "miscalibration", "miscal"),
)
"""Properties of whole lists: key, name, and a head that leaves room for figures at 80 columns."""
LIKE_DISLIKE = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced"),
    ("balanced_at_base", "at base"),
    ("auc", "AUC"),
)
"""Figures of like or dislike, and their heads."""
LISTS_MEAN = (
    "Precision, recall and F1 over all that the user likes from the test on and that the list may show, not over the "
    "test's item alone. Coverage: share of the catalogue in any list. Diversity: mean distance of the items' words "
    "within a list. Novelty: bits, more for items that few users have met. Long tail: share outside the most met items "
    "with 80% of all meetings. Miscalibration: divergence of a list's attributes from those of the user's likes, in "
    "nats, the less the better."
)


def tables(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The whole report, in display order."""
    for name, found in report["protocols"].items():
        yield _methods(name, found)
        if any("coverage" in figures for figures in found["methods"].values()):
            yield _lists(found)
            yield Text(LISTS_MEAN, style="dim")
            yield from (Text(sentence, style="bold") for sentence in undefined(found))
        yield _by_history(found)
        if found["unseen_items"]["tests"]:
            yield _unseen(found)
        if found["recall"]:
            yield _recall(found)
        yield _signals(found)
        yield from (Text(sentence, style="bold") for sentence in without_interval(found))
        yield Text(left_out(found), style="dim")
        yield Text(found["rule"], style="dim")
        for note in found["notes"].values():
            yield Text(f"- {note}", style="dim")
    if "like_dislike" in report:
        yield _like_dislike(report["like_dislike"])
        yield Text(like_dislike_told(report["like_dislike"]), style="dim")
    minutes = report["minutes"]
    yield Text(f"Data: {report['data']}. {duplicates(report)}", style="dim")
    yield Text(f"{minutes['training']:.0f} min of training, {minutes['judging']:.0f} min of evaluation", style="dim")


def _methods(name: str, found: Mapping[str, Any]) -> Table:
    tests = found["tests"]
    title = f"{name}: {found['seeds']} tie seeds, {min(tests):,} to {max(tests):,} tests each"
    shown = _table(f"{title}; differences with 95% intervals", "method", "HR@10", "spread")
    for column in ("NDCG@10", "spread", "HR@10 lead", "tokens", "ms"):
        shown.add_column(column, justify="right")
    for method, figures in found["methods"].items():
        cells = [
            cell for metric, _ in METRICS for cell in (_bold(found, method, metric), f"{figures[metric]['spread']:.3f}")
        ]
        against = found["against"].get(method)
        difference = between(against) if against else ""
        tokens = f"{figures['tokens_a_list']:.0f}" if "tokens_a_list" in figures else ""
        shown.add_row(method, *cells, Text(difference), tokens, f"{figures['ms_a_list']:.2f}")
    return shown


def _lists(found: Mapping[str, Any]) -> Table:
    shown = _table(f"The first {DEPTH} items of the lists", "method", *(head for _, _, head in LISTS))
    for method, figures in found["methods"].items():
        shown.add_row(method, *(list_figure(figures, metric, 3) for metric, _, _ in LISTS))
    return shown


def list_figure(figures: Mapping[str, Any], metric: str, digits: int) -> str:
    """A property of a method's lists; a dash where it is undefined for all lists."""
    mean = figures[metric]["mean"] if metric in figures else None
    return "-" if mean is None else f"{mean:.2f}" if metric == "novelty" else f"{mean:.{digits}f}"


def undefined(found: Mapping[str, Any]) -> Iterator[str]:
    """For how many lists a property is undefined, where it is."""
    for metric, title, _ in LISTS:
        counts = {
            name: sum(found["tests"]) - figures[metric]["lists"]
            for name, figures in found["methods"].items()
            if "lists" in figures.get(metric, {})
        }
        told = ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count)
        if told:
            yield f"{title[0].upper()}{title[1:]}: without {told}, for which it is undefined."


def between(figures: Mapping[str, Any]) -> str:
    """The bounds of an interval, or the mean with a remark that there is no interval."""
    if figures["low"] is None:
        return f"{figures['mean']:+.4f}, no interval"
    return f"{figures['low']:+.4f} to {figures['high']:+.4f}"


def left_out(found: Mapping[str, Any]) -> str:
    """How many likes are tests, on the first tie seed, and why the others are not."""
    if not found["likes"]:
        return "No likes."
    parts = ", ".join(f"{counts[0]:,} {WHY_LEFT_OUT[why]}" for why, counts in found["left_out"].items() if counts[0])
    return f"{found['tests'][0]:,} of {found['likes'][0]:,} likes are tests" + (
        f"; not tested: {parts}." if parts else "."
    )


def duplicates(report: Mapping[str, Any]) -> str:
    """How many events are duplicates; they are learned like any other."""
    count = report["duplicates"]
    return (
        f"{count:,} events have the user, item, kind, value and time of another." if count else "No duplicate events."
    )


def without_interval(found: Mapping[str, Any]) -> Iterator[str]:
    """One sentence per reason why intervals of a protocol could not be computed."""
    figures = [(name, one[metric]) for name, one in found["methods"].items() for metric, _ in METRICS]
    figures += [
        (f"the difference from {name}", one[metric]) for name, one in found["against"].items() for metric, _ in METRICS
    ]
    names: dict[str, dict[str, None]] = {}
    for name, one in figures:
        if "no_interval" in one:
            names.setdefault(one["no_interval"], {})[name] = None
    for why, which in names.items():
        yield f"No 95% interval for {', '.join(which)}: {why}."


def _by_history(found: Mapping[str, Any]) -> Table:
    first = next(iter(found["methods"]), "")
    heads = [f"{bucket} ({found['by_history'][bucket][first]['tests']:,})" for bucket in BUCKETS] if first else []
    shown = _table("HR@10 / NDCG@10 by the user's likes so far (tests)", "method", *heads)
    for method in found["methods"]:
        rows = [found["by_history"][bucket][method] for bucket in BUCKETS]
        shown.add_row(method, *(f"{row['hr10']:.3f} / {row['ndcg10']:.3f}" if row["tests"] else "-" for row in rows))
    return shown


def _unseen(found: Mapping[str, Any]) -> Table:
    unseen = found["unseen_items"]
    shown = _table(
        f"Items unseen in training: {unseen['tests']:,} tests",
        "method",
        "HR@10",
        "NDCG@10",
        "percentile",
        "among unseen",
    )
    for method, figures in unseen.items():
        if method != "tests":
            cells = (f"{figures[key]:.3f}" if key in figures else "" for key in UNSEEN)
            shown.add_row(method, *cells)
    return shown


def _recall(found: Mapping[str, Any]) -> Table:
    shown = _table("Recall of the candidates", "candidates", "number", "recall")
    for name, figures in found["recall"].items():
        if "recall" in figures:
            shown.add_row(name, f"{figures['size']:.0f}", f"{figures['recall']:.3f}")
        else:
            for count, recall in figures.items():
                shown.add_row(f"{name}, full catalogue", count, f"{recall:.3f}")
    return shown


def _signals(found: Mapping[str, Any]) -> Table:
    shown = _table("Each signal alone", "signal", *(title for _, title in METRICS))
    for name, figures in found["signals"].items():
        shown.add_row(name, *(f"{figures[metric]['mean']:.3f}" for metric, _ in METRICS))
    return shown


def _like_dislike(found: Mapping[str, Any]) -> Table:
    shown = _table("Like or dislike: 95% intervals over users", "method", *(head for _, head in LIKE_DISLIKE))
    for method, figures in found["methods"].items():
        shown.add_row(method, *(with_ends(figures[metric]) for metric, _ in LIKE_DISLIKE))
    return shown


def with_ends(figures: Mapping[str, Any]) -> str:
    """A mean, and below it its interval, if any."""
    if figures["mean"] is None:
        return "-"
    ends = "" if figures["low"] is None else f"\n{figures['low']:.3f}-{figures['high']:.3f}"
    return f"{figures['mean']:.4f}{ends}"


def like_dislike_told(found: Mapping[str, Any]) -> str:
    """What was asked, and the lead of the classifier."""
    lead = found["lead"]
    leads = ", ".join(f"{between(lead[metric])} in {head}" for metric, head in LIKE_DISLIKE if metric in lead)
    repeated = (
        f" {found['repeated']:,} earlier ones of the same user and item do not count." if found["repeated"] else ""
    )
    return (
        f"{found['likes']:,} likes and {found['dislikes']:,} dislikes of {found['users']:,} users in {found['folds']} "
        f"folds, each rating predicted from the user's ratings in the other folds, earlier or later, and from those of "
        f"others. {found['undecided']:,} ratings in between are known but not asked.{repeated} Balanced: mean of the "
        f"shares of likes and of dislikes that are right; at base: a like is predicted above the share of likes, not "
        f"above one half. The lead of {lead['of']} over {lead['over']}: {leads}."
    )


def _table(title: str, first: str, *others: str) -> Table:
    shown = Table(title=title, title_justify="left", padding=(0, 0, 0, 1))
    shown.add_column(first, no_wrap=True)
    for column in others:
        shown.add_column(column, justify="right")
    return shown


def _bold(found: Mapping[str, Any], method: str, metric: str) -> Text:
    means: Sequence[float] = [figures[metric]["mean"] for figures in found["methods"].values()]
    mean = found["methods"][method][metric]["mean"]
    return Text(f"{mean:.4f}", style="bold" if mean == max(means) else "")
