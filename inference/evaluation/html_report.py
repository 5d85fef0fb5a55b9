"""The report as one self-contained HTML page: no scripts, external fonts or images."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from inference.evaluation.console_report import (
    LIKE_DISLIKE,
    LISTS,
    LISTS_MEAN,
    duplicates,
    left_out,
    like_dislike_told,
    list_figure,
    undefined,
    with_ends,
    without_interval,
)
from inference.evaluation.metrics import UNSEEN
from inference.evaluation.plots import Bar, bars, differences, lines
from inference.evaluation.protocol import DEPTH
from inference.evaluation.runner import BUCKETS

STYLE = """
:root { color-scheme: light dark; --paper:#fff; --ink:#1c2430; --dim:#5b6675; --rule:#d9dee5; --bar:#b8c2ce;
  --c0:#b3400d; --c1:#0b63a5; --c2:#0b7a57; --c3:#8a3c93; --c4:#8a6a00; --c5:#3a4fb5; --c6:#6b7280; --c7:#a8325e; }
@media (prefers-color-scheme: dark) { :root {
  --paper:#14181d; --ink:#e6eaef; --dim:#9aa6b4; --rule:#343d48; --bar:#4b5866;
  --c0:#ff9a5c; --c1:#6db9f2; --c2:#4fd0a3; --c3:#d99be2; --c4:#e0c14a; --c5:#9fb0ff; --c6:#aab4c0; --c7:#ff8fb5; } }
body { margin:0 auto; max-width:60rem; padding:2rem 1rem 4rem; background:var(--paper); color:var(--ink);
  font:16px/1.5 system-ui, sans-serif; }
h1 { font-size:1.6rem; } h2 { margin-top:3rem; border-bottom:1px solid var(--rule); } h3 { margin:2rem 0 .5rem; }
p, li { max-width:46rem; } .dim { color:var(--dim); font-size:.9rem; }
.wide { overflow-x:auto; }
svg { width:100%; max-width:760px; min-width:560px; height:auto; font-size:13px; display:block; }
svg text { fill:var(--ink); } svg .strong { font-weight:700; } .whisker { stroke:var(--ink); fill:none; }
.grid { stroke:var(--rule); } .axis { stroke:var(--dim); } .mark { stroke:var(--dim); stroke-dasharray:2 4; }
table { border-collapse:collapse; font-variant-numeric:tabular-nums; font-size:.9rem; }
th, td { padding:.2rem .55rem; text-align:right; border-bottom:1px solid var(--rule); white-space:nowrap; }
th:first-child, td:first-child { text-align:left; } td { vertical-align:top; }
small { display:block; color:var(--dim); }
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [
        f"<p>{escape(report['data'])}. {report['events']:,} events, {report['people']:,} users, ",
        f"{report['items']:,} items. {escape(duplicates(report))}</p>",
    ]
    for name, found in report["protocols"].items():
        parts += _protocol(name, found)
    if "like_dislike" in report:
        parts += _like_dislike(report["like_dislike"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Ouzel: how good are the lists?</title><style>{STYLE}</style></head>"
        f"<body><h1>How good are the lists?</h1>{''.join(parts)}</body></html>\n"
    )


def _protocol(name: str, found: Mapping[str, Any]) -> Iterable[str]:
    tests = found["tests"]
    yield f"<h2>{_words(name)}</h2><p class='dim'>{escape(found['rule'])}</p>"
    yield f"<p>{found['seeds']} tie seeds, {min(tests):,} to {max(tests):,} tests each.</p>"
    yield f"<p>{escape(left_out(found))}</p>"
    yield from (f"<p><b>{escape(sentence)}</b></p>" for sentence in without_interval(found))
    yield from (_methods(found), _bars(found), _against(found))
    yield from _lists(found)
    yield _by_history(found)
    if name == "prequential":
        yield _along(found)
    yield from (_recall(found), _unseen(found), _signals(found))
    notes = "".join(f"<li>{escape(note)}</li>" for note in found["notes"].values())
    yield f"<h3>Notes</h3><ul class='dim'>{notes}</ul>"


def _like_dislike(found: Mapping[str, Any]) -> Iterable[str]:
    heads = (*LIKE_DISLIKE, ("log_loss", "log loss"), ("calibration_error", "calibration error"))
    rows = [(name, *(with_ends(figures[metric]) for metric, _ in heads)) for name, figures in found["methods"].items()]
    yield "<h2>Like or dislike, with 95% intervals over users</h2>"
    yield _table(("method", *(head for _, head in heads)), rows)
    yield f"<p class='dim'>{escape(like_dislike_told(found))}</p>"


def _methods(found: Mapping[str, Any]) -> str:
    rows = []
    for name, figures in found["methods"].items():
        hits, gain = figures["hr10"], figures["ndcg10"]
        tokens = f"{figures['tokens_a_list']:.0f}" if "tokens_a_list" in figures else ""
        cells = (f"{hits['mean']:.4f}", f"{hits['spread']:.4f}", f"{gain['mean']:.4f}", f"{gain['spread']:.4f}")
        rows.append((name, *cells, tokens, f"{figures['ms_a_list']:.2f}"))
    return _table(("method", "HR@10", "spread", "NDCG@10", "spread", "tokens per list", "ms per list"), rows)


def _bars(found: Mapping[str, Any]) -> str:
    drawn = []
    for metric, title in (("hr10", "HR@10"), ("ndcg10", "NDCG@10")):
        rows = [
            Bar(
                name, figures[metric]["mean"], figures[metric]["low"], figures[metric]["high"], name.startswith("ouzel")
            )
            for name, figures in found["methods"].items()
        ]
        rows.sort(key=lambda row: -row.mean)
        drawn.append(f"<h3>{title}, with 95% intervals over users</h3>{_drawing(bars(rows, f'{title} by method'))}")
    return "".join(drawn)


def _against(found: Mapping[str, Any]) -> str:
    if not found["against"]:
        return ""
    drawn = []
    for metric, title in (("hr10", "HR@10"), ("ndcg10", "NDCG@10")):
        rows = [
            Bar(name, figures[metric]["mean"], figures[metric]["low"], figures[metric]["high"])
            for name, figures in found["against"].items()
        ]
        drawn.append(f"<h3>{title}: difference between ours and each method, on the same tests</h3>")
        drawn.append(_drawing(differences(rows, f"{title}, differences with intervals")))
    return "".join(drawn)


def _lists(found: Mapping[str, Any]) -> Iterable[str]:
    """Properties of whole lists: the mean, and below it the interval."""
    if not any("coverage" in figures for figures in found["methods"].values()):
        return
    rows = [
        (
            name,
            *(f"{list_figure(figures, metric, 3)}\n{_ends(figures.get(metric, {}), metric)}" for metric, _, _ in LISTS),
        )
        for name, figures in found["methods"].items()
    ]
    heads = ("method", *(title for _, title, _ in LISTS))
    yield f"<h3>The first {DEPTH} items of the lists, with 95% intervals over users</h3>{_table(heads, rows)}"
    yield f"<p class='dim'>{escape(LISTS_MEAN)} Coverage is one figure for all lists, without an interval.</p>"
    yield from (f"<p class='dim'>{escape(sentence)}</p>" for sentence in undefined(found))


def _ends(figures: Mapping[str, Any], metric: str) -> str:
    if figures.get("low") is None:
        return ""
    digits = 2 if metric == "novelty" else 3
    return f"{figures['low']:.{digits}f}-{figures['high']:.{digits}f}"


def _by_history(found: Mapping[str, Any]) -> str:
    names = list(found["methods"])
    series = {
        name: [row["hr10"] if (row := found["by_history"][bucket][name])["tests"] else None for bucket in BUCKETS]
        for name in names
    }
    counts = [found["by_history"][bucket][names[0]]["tests"] if names else 0 for bucket in BUCKETS]
    ticks = [f"{bucket} ({count:,})" for bucket, count in zip(BUCKETS, counts, strict=True)]
    plot = lines(series, ticks, "HR@10 by history length")
    return f"<h3>HR@10 by the user's likes so far (tests)</h3>{_drawing(plot)}"


def _along(found: Mapping[str, Any]) -> str:
    along = found["along_stream"]
    series = along["hr10"]
    marks = [point["share"] for point in found["retrained_at"]]
    plot = lines(
        series, [f"{edge:.0%}" for edge in along["edges"]], "HR@10 along the stream", marks=marks, between=True
    )
    title = "HR@10 along the stream" + ("; dashed: model trained" if marks else "")
    return f"<h3>{title}</h3>{_drawing(plot)}"


def _recall(found: Mapping[str, Any]) -> str:
    curves = {name: list(one.values()) for name, one in found["recall"].items() if "recall" not in one}
    sets = [
        (name, f"{one['size']:.0f}", f"{one['recall']:.4f}") for name, one in found["recall"].items() if "recall" in one
    ]
    drawn = "<h3>Recall of the candidates</h3>" if curves or sets else ""
    if curves:
        ticks = list(next(iter(found["recall"][name] for name in curves)))
        drawn += _drawing(
            lines(curves, ticks, "recall by number of candidates", colours=list(found["methods"]), height=240)
        )
    return drawn + (_table(("source of candidates", "number", "recall"), sets) if sets else "")


def _unseen(found: Mapping[str, Any]) -> str:
    unseen = found["unseen_items"]
    if not unseen["tests"]:
        return ""
    rows = [
        (name, *(f"{figures[key]:.4f}" if key in figures else "" for key in UNSEEN))
        for name, figures in unseen.items()
        if name != "tests"
    ]
    title = f"<h3>Items unseen in training: {unseen['tests']:,} tests</h3>"
    return title + _table(("method", "HR@10", "NDCG@10", "percentile", "among unseen"), rows)


def _signals(found: Mapping[str, Any]) -> str:
    rows = [
        (name, *(f"{one[metric]['mean']:.4f}" for metric in ("hr10", "ndcg10")))
        for name, one in found["signals"].items()
    ]
    return f"<h3>Each signal alone</h3>{_table(('signal', 'HR@10', 'NDCG@10'), rows)}" if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(content: str) -> str:
    """The first line, and the others small below it."""
    first, *others = (escape(line) for line in content.split("\n"))
    return first + "".join(f"<small>{line}</small>" for line in others if line)


def _drawing(svg: str) -> str:
    return f"<div class='wide'>{svg}</div>"


def _words(name: str) -> str:
    return escape(name.replace("_", "-").capitalize())
